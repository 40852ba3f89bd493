"""Print the lower bounds of pyproject.toml as pip's constraints: the versions that `make test-oldest` installs."""

import re
import tomllib
from pathlib import Path

REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[.*\])?>=(?P<version>[\w.]+)")


def lower_bounds(pyproject: Path) -> dict[str, str]:
    """Return the oldest version of each package that the project names; of several bounds the highest holds."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    found = [REQUIREMENT.match(one) for one in wanted if not one.startswith(project["name"])]
    pairs = [(match["name"], match["version"]) for match in found if match]
    return dict(sorted(pairs, key=lambda pair: [int(part) for part in pair[1].split(".")]))


if __name__ == "__main__":
    bounds = lower_bounds(Path(__file__).parents[1] / "pyproject.toml")
    print("\n".join(f"{name}=={version}" for name, version in sorted(bounds.items())))
