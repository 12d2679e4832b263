"use strict";
// Charts are drawn once their place has a width: those in a closed part when it is opened.
const drawn = new Set();
function draw(place) {
  const name = place.id.slice("chart-".length);
  if (drawn.has(name)) return;
  drawn.add(name);
  charts[name].config.legend.columns = innerWidth < 600 ? 2 : 4;
  vegaEmbed(place, charts[name], { actions: false, mode: "vega-lite", renderer: "svg" }).then(({ view }) => {
    view.addEventListener("click", (event, item) => {
      const trial = item && item.datum && item.datum.trial;
      if (trial) show(trial);
    });
    place.dataset.drawn = "yes";
  });
}
function drawOpen() {
  for (const place of document.querySelectorAll(".chart")) {
    if (!place.closest("details:not([open])")) draw(place);
  }
}
for (const part of document.querySelectorAll("details")) part.addEventListener("toggle", drawOpen);
drawOpen();

const table = document.getElementById("all");
const rows = Array.from(table.tBodies[0].rows);
function show(trial) {
  document.getElementById("filter").value = "";
  filter();
  for (const row of rows) row.classList.remove("found");
  const row = document.getElementById("trial-" + trial);
  if (!row) return;
  row.classList.add("found");
  row.scrollIntoView({ block: "center" });
}

function filter() {
  const words = document.getElementById("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
    shown += row.hidden ? 0 : 1;
  }
  document.getElementById("matches").textContent = words.length ? shown + " of " + rows.length : "";
}
document.getElementById("filter").addEventListener("input", filter);

// Numbers by size, words by the alphabet, what is missing last.
const headings = Array.from(table.tHead.rows[0].cells);
headings.forEach((heading, place) => {
  const button = heading.querySelector("button");
  if (!button) return;
  button.addEventListener("click", () => {
    const down = heading.getAttribute("aria-sort") === "descending";
    for (const other of headings) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "ascending" : "descending");
    const sign = down ? 1 : -1;
    const value = (row) => row.cells[place].dataset.value;
    rows.sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      if (a === "" || b === "") return (a === "") - (b === "");
      const numbers = [Number(a), Number(b)];
      return sign * (numbers.some(Number.isNaN) ? a.localeCompare(b) : numbers[0] - numbers[1]);
    });
    table.tBodies[0].append(...rows);
  });
});

for (const button of document.querySelectorAll(".copy")) {
  button.title = button.dataset.command;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(button.dataset.command);
      button.textContent = "copied";
    } catch {
      button.replaceWith(Object.assign(document.createElement("code"), { textContent: button.dataset.command }));
    }
  });
}
