// The answer at this tick in large, a bar for every class, and every number that the curves show.

const MOST_CLASSES = 10;

export function showAnswer(parent, { thought, tick, threshold }) {
  const { labels } = thought.about,
    answer = thought.answers[tick],
    stop = thought.stop(threshold);
  const label = parent.querySelector(".label");
  label.textContent = labels[answer];
  label.classList.toggle(
    "long",
    labels.some((one) => one.length > 3),
  );
  parent.querySelector(".verdict p").innerHTML =
    `<b data-quantity="certainty">${thought.certainty[tick].toFixed(4)}</b> certain at tick <b>${tick + 1}</b><br>` +
    (stop < 0
      ? "never sure enough to stop"
      : `sure enough at tick <b data-quantity="stop">${stop + 1}</b>: ${text(labels[thought.answers[stop]])}`);
  const p = thought.probabilities[tick],
    shown = Array.from(p.keys());
  if (shown.length > MOST_CLASSES) shown.sort((a, b) => p[b] - p[a]).splice(MOST_CLASSES);
  parent.querySelector(".bars").innerHTML = shown
    .map(
      (c) =>
        `<div class="${c === answer ? "first" : ""}"><span>${text(labels[c])}</span>` +
        `<div class="track"><i style="width:${(100 * p[c]).toFixed(2)}%"></i></div>` +
        `<output data-quantity="probability" data-class="${c}">${p[c].toFixed(4)}</output></div>`,
    )
    .join("");
}

const SHOWN = [
  ["ei_ratio", "E-I ratio"],
  ["sync_power", "synchrony, mean square"],
  ["surprise", "surprise"],
  ["gate", "memory gate"],
  ["lateral_iterations", "lateral iterations"],
];

export function showNumbers(parent, { thought, tick }) {
  const numbers = SHOWN.filter(([name]) => thought.has(name)).map(([name, title]) => [
    name,
    title,
    number(thought.series(name)[tick]),
  ]);
  parent.innerHTML =
    numbers
      .map(([name, title, value]) => `<div><dt>${title}</dt><dd data-quantity="${name}">${value}</dd></div>`)
      .join("") + `<div><dt>time to think</dt><dd>${Math.round(thought.milliseconds)} ms</dd></div>`;
}

const number = (value) => (Math.abs(value) < 1e4 ? value.toFixed(4) : value.toPrecision(6));

function text(value) {
  const span = document.createElement("span");
  span.textContent = value;
  return span.innerHTML;
}
