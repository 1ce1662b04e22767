// One thought: the loop over ticks around a model's three graphs.

import { Graph } from "./reader/graph.js";
import { scalar, tensor } from "./reader/tensors.js";
import { unpacked } from "./reader/weights.js";

export class Model {
  static async from({ about, graphs, constants }) {
    const tensors = await unpacked(constants);
    const made = Object.entries(graphs).map(([name, described]) => [name, new Graph(described, tensors)]);
    return new Model(about, Object.fromEntries(made));
  }

  constructor(about, graphs) {
    this.about = about;
    this.graphs = graphs;
    this.intervenes = graphs.tick.inputs.includes("inhibition");
    this.given = {};
  }

  // An input tensor, the same object as long as its numbers are the same: what depends on it is then not run again.
  #input(name, made) {
    const before = this.given[name];
    const same = before && before.data.length === made.data.length && before.data.every((x, i) => x === made.data[i]);
    if (!same) this.given[name] = made;
    return this.given[name];
  }

  // Think for `ticks` about what is shown (Float32Array): an image of channels x size x size, or a sequence. `active`
  // has a 1 for every neuron that takes part and a 0 for every one that is silenced; `inhibition` is a factor on what
  // inhibits excitatory neurons; `right` is the right answer, null where nobody knows it.
  think(shown, { ticks, active, inhibition, right }) {
    const { input, shape, recorded } = this.about,
      began = performance.now();
    const values = { [input]: this.#input(input, tensor(shape, shown)) };
    if (this.intervenes) {
      values.active = this.#input("active", tensor([active.length], active));
      values.inhibition = this.#input("inhibition", scalar(inhibition));
    }
    Object.assign(values, this.graphs.begin.run(values));
    const seen = Object.fromEntries([...recorded, "logits", "certainty"].map((name) => [name, []]));
    for (let tick = 0; tick < ticks; tick++) {
      Object.assign(values, this.graphs.tick.run(values));
      Object.assign(values, this.graphs.read.run(values));
      for (const name of Object.keys(values)) if (name.startsWith("next_")) values[name.slice(5)] = values[name];
      for (const name of Object.keys(seen)) seen[name].push(values[name].data);
    }
    return new Thought(this.about, seen, right, performance.now() - began);
  }
}

// What was seen, by name and tick, and what follows from it. Numbers are those of the graphs.
export class Thought {
  constructor(about, seen, right, milliseconds) {
    Object.assign(this, { about, seen, right, milliseconds, ticks: seen.logits.length });
    // By tick and position, of which an answer in one class has one: a probability for each class, and the likeliest.
    this.probabilities = seen.logits.map((logits) => likelihoods(logits, about.labels.length));
    this.likeliest = this.probabilities.map((places) => places.map((p) => p.indexOf(Math.max(...p))));
    // A list is emitted symbol by symbol, and the more certain the more of it is out.
    this.answers = about.emitted ? emitted(this.likeliest.flat(), about) : this.likeliest;
    this.certainty = about.emitted
      ? this.answers.map((answer) => answer.length / about.emitted)
      : seen.certainty.map((value) => value[0]);
    this.attention = about.places ? seen.attention.map((weights) => meanOfHeads(weights, about.places)) : null;
  }

  has(name) {
    return name in this.seen;
  }

  // One number per tick.
  series(name) {
    return this.seen[name].map((value) => value[0]);
  }

  // The first tick (from 0) of at least this certainty; -1 where there is none.
  stop(threshold) {
    return this.certainty.findIndex((value) => value >= threshold);
  }

  // How many places of the answer at a tick are right.
  correct(tick) {
    return this.right.filter((one, place) => one === this.answers[tick][place]).length;
  }
}

// The probabilities of logits (classes x positions), position by position.
function likelihoods(logits, classes) {
  const positions = logits.length / classes;
  return Array.from({ length: positions }, (_, s) => {
    const own = Array.from({ length: classes }, (_, c) => logits[c * positions + s]),
      highest = Math.max(...own);
    const exponentials = own.map((x) => Math.exp(x - highest)),
      sum = exponentials.reduce((a, b) => a + b, 0);
    return exponentials.map((x) => x / sum);
  });
}

// The list that is out after each tick: the likeliest symbols, but for blanks (the last class) and repeats.
function emitted(likeliest, { labels, emitted: length }) {
  const blank = labels.length - 1,
    out = [];
  let last = blank;
  return likeliest.map((symbol) => {
    if (symbol !== blank && symbol !== last) out.push((last = symbol));
    return out.slice(0, length);
  });
}

function meanOfHeads(weights, places) {
  const heads = weights.length / places;
  return Float32Array.from({ length: places }, (_, n) => {
    let sum = 0;
    for (let h = 0; h < heads; h++) sum += weights[h * places + n];
    return sum / heads;
  });
}
