// What a page of this site does beyond links and forms: take a picture and go to its explanation.
"use strict";

const says = document.getElementById("says");

function say(text) {
  says.textContent = text;
  says.hidden = !text;
}

async function ask(address, options) {
  const answer = await fetch(address, { credentials: "same-origin", ...options })
    .catch(() => { throw new Error("The server does not answer. Is it still running?"); });
  if (!answer.ok) {
    let said = `The server answered ${answer.status}.`;
    try { said = (await answer.json()).error || said; } catch { /* the sentence above stands */ }
    throw new Error(said);
  }
  return answer;
}

async function explain(file) {
  say(`Looking at ${file.name} …`);
  document.body.setAttribute("aria-busy", "true");
  try {
    const answer = await ask(`/pictures?bank=${encodeURIComponent(document.body.dataset.bank)}`, {
      method: "POST", body: file,
      headers: { "Content-Type": "application/octet-stream", "X-File-Name": encodeURIComponent(file.name) },
    });
    location.assign((await answer.json()).address);
  } catch (error) {
    say(error.message);
  } finally {
    document.body.removeAttribute("aria-busy");
  }
}

const input = document.getElementById("file");
input.addEventListener("change", () => { if (input.files.length) explain(input.files[0]); });

// Files alone: a text or a link that is dragged over the page stays what it was.
const carriesFile = (event) => [...event.dataTransfer.types].includes("Files");
addEventListener("dragover", (event) => {
  if (!carriesFile(event)) return;
  event.preventDefault();
  document.body.classList.add("dragging");
});
addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dragging"); });
addEventListener("drop", (event) => {
  document.body.classList.remove("dragging");
  if (!carriesFile(event)) return;
  event.preventDefault();
  if (event.dataTransfer.files.length) explain(event.dataTransfer.files[0]);
});
addEventListener("pageshow", () => { say(""); input.value = ""; });
