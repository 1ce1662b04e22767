// The page: one state, drawn again whenever it changes; a new thought whenever input or disturbance change.

import { Bits } from "./input/bits.js";
import { Cells } from "./input/cells.js";
import { UNDISTURBED, sliders } from "./input/interventions.js";
import { Maze } from "./input/maze.js";
import { Numbers } from "./input/numbers.js";
import { Picture } from "./input/picture.js";
import { noisy, silenced } from "./input/random.js";
import { markSample, sampleButtons, shownBy } from "./input/samples.js";
import { Timeline } from "./input/timeline.js";
import { rightAnswer } from "./tasks/truth.js";
import { Model } from "./thought.js";
import { ThinkerView } from "./views/thinker.js";

const WIDGETS = { picture: Picture, maze: Maze, bits: Bits, cells: Cells, numbers: Numbers };
const find = (id) => document.getElementById(id);
const given = JSON.parse(find("models").textContent);

const state = { shown: null, seen: null, tick: 0, threshold: 0.9, neuron: null, ...UNDISTURBED };
const thoughts = [];
const timeline = new Timeline((tick) => {
  state.tick = tick;
  draw();
});
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
let models = [],
  views = [],
  showSliders = () => {};

async function start() {
  models = await Promise.all(given.models.map((one) => Model.from(one)));
  views = models.map((model) => new ThinkerView(model.about, change));
  find("thinkers").append(...views.map((view) => view.section));
  find("about").textContent = given.about;
  showSliders = sliders(
    find("interventions"),
    { populations: models.some((model) => model.intervenes), images: models[0].about.input === "images" },
    (name, value) => disturb({ [name]: value }),
  );
  find("reset").addEventListener("click", () => disturb(UNDISTURBED));
  for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
  addEventListener("resize", later(draw));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  document.body.classList.toggle("several", models.length > 1);
  find("disturb").open = !matchMedia("(max-width: 720px)").matches;
  ask(models[0].about);
  disturb(UNDISTURBED);
  if (!still && location.hash !== "#still") timeline.play();
  seeItThink.ready = true;
}

// Build what the network is asked with, and ask a first time.
function ask(about) {
  const widget = new WIDGETS[about.asked](find("field"), about, (shown) => show(shown, null), complain);
  find("lead").textContent = widget.lead;
  find("examples").classList.add(about.asked);
  const take = (shown, number) => {
    widget.show(shown);
    show(shown, number);
  };
  sampleButtons(
    find("examples"),
    given.examples,
    (canvas, shown) => widget.paint(canvas, shown),
    (shown, number) => {
      take(shown, number);
      if (!still) timeline.play();
    },
  );
  if (given.examples.length) take(shownBy(given.examples[0]), 0);
  else if (widget.first) take(widget.first, null);
  else complain(widget.request); // an empty field is no question: an answer to it would mean nothing
}

// Take something new to think about: the sample of this number, or none.
function show(shown, number) {
  state.shown = shown;
  markSample(find("examples"), number);
  complain("");
  think();
}

function complain(sentence) {
  find("message").textContent = sentence;
}

function disturb(changes) {
  Object.assign(state, changes);
  showSliders(state);
  if (state.shown) think();
}

// Once per frame at most, however fast the slider moves.
const think = later(() => {
  const { ticks } = models[0].about,
    before = state.length ?? ticks;
  state.seen = noisy(state.shown, state.noise);
  state.length = ticks * state.longer;
  models.forEach((model, i) => {
    const active = silenced(model.about.neurons, model.about.excitatory, state.silenceE, state.silenceI),
      right = rightAnswer(state.shown, model.about);
    thoughts[i] = model.think(state.seen, { ticks: state.length, active, inhibition: state.inhibition, right });
  });
  state.neuron ??= liveliest(thoughts[0]);
  if (!timeline.playing && (state.tick === before - 1 || state.tick >= state.length)) state.tick = state.length - 1;
  draw();
});

// The neuron of the first population whose activity moves most.
function liveliest({ seen, about, ticks }) {
  const values = seen[about.activity[0].quantity],
    moved = Array.from(values[0], (_, n) => Math.abs(values[ticks - 1][n] - values[0][n]));
  return moved.indexOf(Math.max(...moved));
}

function change(changes) {
  if ("tick" in changes) timeline.pause();
  for (const name of ["tick", "threshold", "neuron"]) if (name in changes) state[name] = changes[name];
  draw();
}

function draw() {
  if (!thoughts.length) return;
  state.tick = Math.min(state.tick, state.length - 1);
  timeline.show(state.tick, state.length, state.longer);
  views.forEach((view, i) => view.draw({ ...state, thought: thoughts[i], neuron: state.neuron % view.about.neurons }));
}

// Run a function in the next frame, once however often it is asked for until then.
function later(run) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      run();
    });
  };
}

window.seeItThink = { state, thoughts, ready: false }; // for whoever opens the console, and for the page's test
start().catch((error) => {
  find("message").textContent = error.message;
  throw error;
});
