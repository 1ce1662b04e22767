// The page: one state, drawn again whenever it changes; a new thought whenever image or disturbance change.

import { Drawing } from "./input/drawing.js";
import { UNDISTURBED, sliders } from "./input/interventions.js";
import { fromPhoto } from "./input/photo.js";
import { noisy, silenced } from "./input/random.js";
import { Timeline } from "./input/timeline.js";
import { Model } from "./thought.js";
import { paint } from "./views/image.js";
import { ThinkerView } from "./views/thinker.js";

const find = (id) => document.getElementById(id);
const given = JSON.parse(find("models").textContent);

const state = { image: null, seen: null, tick: 0, threshold: 0.9, neuron: null, ...UNDISTURBED };
const thoughts = [];
const timeline = new Timeline((tick) => {
  state.tick = tick;
  draw();
});
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
let models = [],
  views = [];

async function start() {
  models = await Promise.all(given.models.map((one) => Model.from(one)));
  views = models.map((model) => new ThinkerView(model.about, change));
  find("thinkers").append(...views.map((view) => view.section));
  find("about").textContent = given.about;
  const { about } = models[0],
    drawing = new Drawing(find("pad"), about, (image) => {
      find("pad-hint").hidden = true;
      show(image, null);
    });
  if (about.channels !== 1) find("pad-frame").classList.add("closed");
  find("clear").addEventListener("click", () => {
    drawing.clear();
    find("pad-hint").hidden = false;
  });
  showSliders = sliders(
    find("interventions"),
    models.some((model) => model.intervenes),
    (name, value) => disturb({ [name]: value }),
  );
  find("reset").addEventListener("click", () => disturb(UNDISTURBED));
  find("photo").addEventListener("change", (event) => photo(event.target.files[0]));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    photo(event.dataTransfer.files[0]);
  });
  addEventListener("resize", later(draw));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  document.body.classList.toggle("several", models.length > 1);
  find("disturb").open = !matchMedia("(max-width: 720px)").matches;
  examples(about);
  disturb(UNDISTURBED);
  show(exampleImage(given.examples[0], about), 0);
  if (!still && location.hash !== "#still") timeline.play();
}

let showSliders = () => {};

function exampleImage(example, { channels, size }) {
  if (!example) return new Float32Array(channels * size * size);
  return Float32Array.from(atob(example.pixels), (c) => c.charCodeAt(0) / 255);
}

function examples(about) {
  given.examples.forEach((example, number) => {
    const button = document.createElement("button"),
      canvas = document.createElement("canvas");
    Object.assign(button, { type: "button", title: `labelled ${example.label}` });
    button.setAttribute("aria-label", `Test image ${number + 1}, labelled ${example.label}`);
    Object.assign(canvas, { width: about.size, height: about.size });
    paint(canvas.getContext("2d"), exampleImage(example, about), about.channels, about.size);
    button.append(canvas);
    button.addEventListener("click", () => {
      show(exampleImage(example, about), number);
      if (!still) timeline.play();
    });
    find("examples").append(button);
  });
}

// Take a new image: the example of this number, or none.
function show(image, number) {
  state.image = image;
  [...find("examples").children].forEach((button, i) => button.setAttribute("aria-pressed", String(i === number)));
  find("message").textContent = "";
  think();
}

async function photo(file) {
  if (!file) return;
  try {
    show(await fromPhoto(file, models[0].about), null);
  } catch (error) {
    find("message").textContent = error.message;
  }
}

function disturb(changes) {
  Object.assign(state, changes);
  showSliders(state);
  if (state.image) think();
}

// Once per frame at most, however fast the slider moves.
const think = later(() => {
  const { neurons, excitatory, ticks } = models[0].about,
    before = state.length ?? ticks;
  state.seen = noisy(state.image, state.noise);
  state.active = silenced(neurons, excitatory, state.silenceE, state.silenceI);
  state.length = ticks * state.longer;
  models.forEach((model, i) => {
    const active = i
      ? silenced(model.about.neurons, model.about.excitatory, state.silenceE, state.silenceI)
      : state.active;
    thoughts[i] = model.think(state.seen, { ticks: state.length, active, inhibition: state.inhibition });
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
  views.forEach((view, i) =>
    view.draw({ ...state, image: state.seen, thought: thoughts[i], neuron: state.neuron % view.about.neurons }),
  );
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

window.seeItThink = { state, thoughts }; // for whoever opens the console, and for the page's test
start().catch((error) => {
  find("message").textContent = error.message;
  throw error;
});
