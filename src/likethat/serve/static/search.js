// Following a search: how far it is, and its result as soon as it has ended.
"use strict";

const search = document.querySelector("[data-search]");
const bar = search.querySelector("progress");
const told = search.querySelector("[data-told]");
const spoken = search.querySelector("[data-spoken]");
const EVERY = 700; // milliseconds: a question to a small model takes less, a reader's look more
const QUARTERS = 4; // of the way that are spoken: every step would be too many
let quarter = 0;

async function follow() {
  try {
    const { ended, share, told: now } = await (await ask(search.dataset.search)).json();
    if (ended) { location.reload(); return; }
    told.textContent = now;
    say("");
    if (share !== null) {
      bar.value = share;
      if (Math.floor(QUARTERS * share) > quarter) spoken.textContent = now;
      quarter = Math.floor(QUARTERS * share);
    }
  } catch (error) {
    say(error.message);
  }
  setTimeout(follow, EVERY);
}

follow();
