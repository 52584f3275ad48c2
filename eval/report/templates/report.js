"use strict";
const form = document.querySelector("#filter");
if (form) {
  const items = [...document.querySelectorAll(".item")];
  const groups = [...document.querySelectorAll(".group")].reverse();
  const texts = new Map();
  const text = (item) => {
    if (!texts.has(item)) texts.set(item, item.textContent.toLowerCase());
    return texts.get(item);
  };
  const changed = (item, gate, outcome) => {
    const on = (kind) => item.dataset[kind].split(" ").filter(Boolean);
    const keys = outcome ? on(outcome) : [...on("lost"), ...on("won")];
    return gate ? keys.includes(gate) : keys.length > 0;
  };
  const apply = () => {
    const want = Object.fromEntries(new FormData(form));
    const words = want.words.toLowerCase().trim();
    const active = Boolean(want.gate || want.outcome || want.category || words);
    let shown = 0;
    for (const item of items) {
      const keep = changed(item, want.gate, want.outcome)
        && (!want.category || item.dataset.category === want.category)
        && (!words || text(item).includes(words));
      item.hidden = !keep;
      shown += keep;
    }
    for (const group of groups) {
      const found = group.querySelector(".item:not([hidden])") !== null;
      group.hidden = active && !found;
      if (group.tagName === "DETAILS" && active && found) group.open = true;
    }
    form.querySelector("output").textContent = `${shown} of ${items.length} items`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-gate]");
    if (!link) return;
    form.elements.gate.value = link.dataset.gate;
    form.elements.outcome.value = link.dataset.outcome;
    apply();
  });
  form.hidden = false;
  apply();
}
