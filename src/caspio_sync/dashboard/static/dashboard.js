"use strict";
// What the pages do besides links and forms: copy a command, draw the days, take the token out of the address.

function say(text) {
  const said = document.getElementById("said");
  said.textContent = text;
  setTimeout(() => { said.textContent = ""; }, 2500);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    say("Copied");
  } catch {
    // Only pages of this machine or over HTTPS may write there; marked, the text can be copied by hand.
    getSelection().selectAllChildren(button.parentElement.querySelector("code"));
    say("Marked: copy it by hand");
  }
});

const CHARTS = [
  ["Rows sent", [["sent", "sent"]]],
  ["Rows set aside", [["quarantined", "quarantined"], ["rejected", "rejected"], ["blocked", "blocked"]]],
  ["Data points", [["data points", "data_points"]]],
  ["Longest run, seconds", [["seconds", "seconds"]]],
  ["Freshness: the longest wait, minutes", [["minutes", "waited_seconds"]]],
  ["Caspio calls", [["calls", "caspio_calls"]]],
];
const INKS = { light: ["#1b54c4", "#b3161b", "#7a4b00"], dark: ["#8ab4ff", "#ff9d9d", "#ffd27a"] };

function draw() {
  const data = document.getElementById("series"), place = document.getElementById("charts");
  if (!data || !place) return;
  const days = JSON.parse(data.textContent);
  const inks = INKS[matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"];
  const style = getComputedStyle(document.documentElement);
  const axis = { stroke: style.getPropertyValue("--soft"), grid: { stroke: style.getPropertyValue("--line"), width: 1 } };
  const at = days.map((each) => Date.parse(each.day + "T00:00:00Z") / 1000);
  const day = (ts) => new Date(ts * 1e3).toISOString().slice(0, 10);
  const figures = CHARTS.map(([title]) => {
    const figure = document.createElement("figure"), caption = document.createElement("figcaption");
    caption.textContent = title;
    figure.append(caption);
    return figure;
  });
  place.replaceChildren(...figures);  // all of them first: one that stands alone is as wide as the page
  CHARTS.forEach(([, lines], number) => {
    const figure = figures[number];
    const values = lines.map(([, name]) => days.map((each) =>
      name === "waited_seconds" && each[name] !== null ? each[name] / 60 : each[name]));
    new uPlot({
      width: figure.clientWidth, height: 180,
      tzDate: (ts) => uPlot.tzDate(new Date(ts * 1e3), "Etc/UTC"),
      cursor: { drag: { x: false, y: false } },
      scales: { y: { range: (u, low, high) => [0, Math.max(high ?? 0, 1) * 1.05] } },
      axes: [{ ...axis, space: 60, values: (u, splits) => splits.map((ts) => day(ts).slice(5)) }, { ...axis, size: 72 }],
      series: [{ label: "day", value: (u, ts) => ts === null ? "-" : day(ts) },
        ...lines.map(([label], place) => ({
          label, stroke: inks[place], width: 2, points: { show: days.length < 40, size: 5 },
          value: (u, value) => value === null ? "-" : value.toLocaleString("en", { maximumFractionDigits: 1 }),
        }))],
    }, [at, ...values], figure);
  });
}

// The address that `ui` prints bears the token behind its #, which browsers send to nobody.
function enter() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!found) return false;
  history.replaceState(null, "", location.pathname);
  const form = document.createElement("form");
  form.method = "post";
  form.action = "/enter";
  for (const [name, value] of [["token", found], ["to", document.querySelector("#enter [name=to]")?.value ?? location.pathname]]) {
    const input = document.createElement("input");
    input.type = "hidden";
    input.name = name;
    input.value = value;
    form.append(input);
  }
  document.body.append(form);
  form.submit();
  return true;
}

if (!enter()) {
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  let width = innerWidth, waiting;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(draw, 150);
  });
}
