# docker build -t likethat . && docker run --rm -v "$PWD/out:/work/out" likethat
# The demo by default; any other command: docker run --rm -v "$PWD:/work" likethat likethat split zoo:digits
FROM python:3.11-slim
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE CHANGELOG.md CITATION.cff ./
COPY src src
COPY zoo zoo
# Without it pip takes the build of torch for GPUs: --build-arg TORCH="--index-url URL" names an index of other builds.
ARG TORCH=""
RUN pip install --no-cache-dir -c requirements.lock hatchling editables \
 && pip install --no-cache-dir -c requirements.lock $TORCH torch \
 && pip install --no-cache-dir -c requirements.lock --no-build-isolation ./zoo .
RUN useradd --create-home user && mkdir /work && chown user /work
USER user
WORKDIR /work
CMD ["likethat", "demo", "--out", "out/demo"]
