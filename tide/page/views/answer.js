// An answer in one class: a bar for each; and every number that the curves show.

import { showVerdict, text } from "./verdict.js";

const MOST_CLASSES = 10;

export function showAnswer(parent, state) {
  const { thought, tick } = state,
    { labels } = thought.about,
    [answer] = thought.answers[tick];
  showVerdict(parent, state, labels[answer], (stop) => labels[thought.answers[stop][0]]);
  const [p] = thought.probabilities[tick],
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
