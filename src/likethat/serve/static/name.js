// Naming a unit: Enter keeps the name, in a review it goes on to the next; Escape skips.
"use strict";

const naming = document.querySelector("[data-name]");

async function keep() {
  try {
    const answer = await ask(naming.dataset.name, {
      method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name: naming.elements.name.value.trim() || null }),
    });
    const { name } = await answer.json();
    if (naming.dataset.next) location.assign(naming.dataset.next);
    else { document.querySelector("h1").textContent = name; say(`It is called ${name} now.`); }
  } catch (error) {
    say(error.message);
  }
}

naming.querySelector("[type=submit]").disabled = false;
naming.addEventListener("submit", (event) => { event.preventDefault(); keep(); });
for (const button of naming.querySelectorAll("[data-suggested]")) {
  button.addEventListener("click", () => {
    naming.elements.name.value = button.dataset.suggested;
    naming.elements.name.focus();
  });
}
addEventListener("keydown", (event) => {
  const skip = naming.querySelector("[data-skip]");
  if (event.key === "Escape" && skip) location.assign(skip.href);
});
