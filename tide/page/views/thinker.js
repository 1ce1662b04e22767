// All views of one model, in one section.

import { showAnswer, showNumbers } from "./answer.js";
import { draggable } from "./canvas.js";
import { drawBalance, drawCertainty, drawMemory, drawNeuron } from "./curves.js";
import { drawEmission, showEmission } from "./emission.js";
import { drawGrid } from "./grid.js";
import { drawImage } from "./image.js";
import { drawPositions, showPositions } from "./positions.js";
import { drawRaster } from "./rasters.js";
import { drawRing, neuronAt } from "./ring.js";
import { drawRoute } from "./route.js";
import { drawNumbers, drawSequence } from "./sequence.js";
import { text } from "./verdict.js";

const SOLVED = "Which place is solved at which tick",
  KEY = " <small>· green: right, purple: wrong, dot: right from here on</small>";
// By the kind of answer: what shows it, and what it counts.
const ANSWERS = {
  class: [showAnswer, ""],
  positions: [showPositions, "· places right"],
  route: [showPositions, "· moves right"],
  list: [showEmission, "· symbols right"],
};
const NEAR = 0.09; // of the threshold: a press this near takes hold of it

export class ThinkerView {
  // `changed({tick | threshold | neuron})` is called when somebody drags or clicks in a view.
  constructor(about, changed) {
    this.about = about;
    this.changed = changed;
    this.section = document.createElement("section");
    this.section.className = "thinker";
    this.section.innerHTML = `<div class="title"><strong></strong><span></span></div><div class="panels"></div>`;
    this.section.querySelector("strong").textContent = about.title;
    this.section.querySelector(".title span").textContent = about.summary;
    this.panels = this.section.querySelector(".panels");
    this.draws = [];
    this.#build();
  }

  #panel(kind, title, content) {
    const panel = document.createElement("div");
    panel.className = `card ${kind}`;
    panel.innerHTML = `<h2>${title}</h2>${content}`;
    this.panels.append(panel);
    return panel;
  }

  #canvas(kind, title, shape, draw) {
    const canvas = this.#panel(kind, title, `<canvas class="${shape}" role="img"></canvas>`).querySelector("canvas");
    this.draws.push((state) => draw(canvas, state));
    return canvas;
  }

  #overTicks(canvas) {
    draggable(canvas, (tick) => this.changed({ tick }));
  }

  #build() {
    const { about, changed } = this;
    if (about.input === "images") {
      this.#buildAsked();
      this.#buildRing();
      this.#buildAnswer();
      this.#buildTicks();
    } else {
      this.#buildTicks();
      this.#buildAnswer();
      this.#buildAsked();
      this.#buildRing();
    }
    let from = 0;
    for (const one of about.activity) {
      const start = from;
      const canvas = this.#canvas("span-3 raster", text(one.title), "chart", (c, state) =>
        drawRaster(c, state, { ...one, from: start }),
      );
      draggable(canvas, (tick, value, pressed) => {
        const row = Math.min(canvas.order.length - 1, Math.max(0, Math.floor(canvas.scale.high - value)));
        changed({ tick, ...(pressed ? { neuron: start + canvas.order[row] } : {}) });
      });
      if (about.excitatory) from += about.excitatory;
    }
    const certainty = this.#canvas(
      "span-6 certainty",
      "Certainty <small>· drag the dashed line: where it may stop</small>",
      "chart",
      drawCertainty,
    );
    let holds = false;
    draggable(certainty, (tick, value, pressed) => {
      if (pressed) holds = Math.abs(value - this.state.threshold) < NEAR;
      changed(holds ? { threshold: Math.min(1, Math.max(0, value)) } : { tick });
    });
    if (about.ratio_target)
      this.#overTicks(
        this.#canvas("span-4", `E-I ratio <small>· target ${about.ratio_target}</small>`, "chart", drawBalance),
      );
    if (about.recorded.includes("surprise")) {
      this.#overTicks(
        this.#canvas(
          "span-4",
          "Memory <small>· gate blue, surprise orange, over its highest</small>",
          "chart",
          drawMemory,
        ),
      );
    }
    const trace = this.#canvas(
      "span-4",
      `<span class="chosen"></span> <small>· click another above</small>`,
      "chart",
      drawNeuron,
    );
    this.#overTicks(trace);
    this.draws.push((state) => {
      trace.parentElement.querySelector(".chosen").textContent = named(about, state.neuron);
    });
    const numbers = this.#panel("numbers", "Numbers at this tick", `<dl class="numbers"></dl>`).querySelector("dl");
    this.draws.push((state) => showNumbers(numbers, state));
  }

  #buildRing() {
    const { about, changed } = this;
    if (!about.pairs) return;
    const ring = this.#canvas("span-4 ring", "Neurons and their synchrony", "square", drawRing);
    ring.addEventListener("click", (event) => changed({ neuron: neuronAt(event, about) }));
  }

  // What is asked, with the attention over it.
  #buildAsked() {
    const { asked, places } = this.about;
    if (asked === "picture") this.#canvas("span-4 image", "Attention and its path", "square", drawImage);
    if (asked === "maze") this.#canvas("span-4 image", "Its route and its attention", "square", drawRoute);
    if (asked === "bits" && places) this.#heat("span-8", "Attention over the places", drawSequence);
    if (asked === "cells")
      this.#canvas("span-4 image", "The cells <small>· small: the tick since which it stands</small>", "square", drawGrid);
    if (asked === "numbers") this.#canvas("span-8", "The numbers, and their order so far", "columns", drawNumbers);
  }

  // How an answer in several parts comes about over the ticks.
  #buildTicks() {
    const { answer, truth } = this.about,
      title = SOLVED + (truth ? KEY : "");
    if (answer === "list") this.#heat("span-8", "What is emitted at which tick", drawEmission);
    else if (answer !== "class") this.#heat(answer === "route" ? "span-12" : "span-8", title, drawPositions);
  }

  #buildAnswer() {
    const [show, counted] = ANSWERS[this.about.answer];
    const answer = this.#panel(
      "span-4 answer",
      `Answer <small>${this.about.truth ? counted : ""}</small>`,
      `<div class="verdict"><span class="label"></span><p></p></div><div class="bars"></div>`,
    );
    this.draws.push((state) => show(answer, state));
  }

  #heat(span, title, draw) {
    this.#overTicks(this.#canvas(span, title, "chart", draw));
  }

  draw(state) {
    this.state = state;
    for (const draw of this.draws) draw(state);
  }
}

function named({ excitatory }, neuron) {
  if (!excitatory) return `Neuron ${neuron + 1}`;
  return neuron < excitatory ? `Excitatory neuron ${neuron + 1}` : `Inhibitory neuron ${neuron - excitatory + 1}`;
}
