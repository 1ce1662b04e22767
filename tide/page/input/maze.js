// What a network of mazes is asked: one whose walls, start and goal are set by hand, or a fresh one.

import { carved, cellsOf, FREE, GOAL, imageOf, shortestRoute, START, WALL } from "../tasks/maze.js";
import { paint } from "../views/image.js";
import { random } from "./random.js";

const MAZE_FIELD = `
<div class="pad-frame">
  <canvas id="pad" class="cells" tabindex="0" role="img"></canvas>
</div>
<div class="row"><button id="fresh" type="button">Fresh maze</button></div>
<p class="help">Click to set or open a wall, drag the red start or the green goal.</p>`;
const KEYS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const CELLS = ["a wall", "free", "the start", "the goal"];

export class Maze {
  // See Picture.
  constructor(parent, { size }, changed, complain) {
    Object.assign(this, { size, changed, complain, next: random(1), cursor: size + 1 });
    parent.innerHTML = MAZE_FIELD;
    this.canvas = parent.querySelector("#pad");
    Object.assign(this.canvas, { width: size, height: size });
    parent.querySelector("#fresh").addEventListener("click", () => this.#take(carved(size, this.next)));
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.#hold(this.#place(event));
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (this.canvas.hasPointerCapture(event.pointerId)) this.#put(this.#place(event));
    });
    this.canvas.addEventListener("keydown", (event) => this.#keyed(event));
  }

  get lead() {
    return "the way through a maze. Set walls, let them think, then disturb them.";
  }

  get first() {
    return imageOf(carved(this.size, this.next));
  }

  show(image) {
    this.cells = cellsOf(image);
    this.#draw();
  }

  paint(canvas, image) {
    Object.assign(canvas, { width: this.size, height: this.size });
    paint(canvas.getContext("2d"), image, 3, this.size);
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect(),
      at = (share) => Math.floor(Math.min(Math.max(share, 0), 0.999) * this.size);
    return at((event.clientY - box.top) / box.height) * this.size + at((event.clientX - box.left) / box.width);
  }

  // Start or goal are moved from here on, or everything becomes a wall or free.
  #hold(place) {
    const found = this.cells[place];
    this.held = found === WALL ? FREE : found === FREE ? WALL : found;
    this.#put(place);
  }

  // The border stays a wall, and neither start nor goal are walled up or meet.
  #put(place) {
    const [row, column] = [Math.floor(place / this.size), place % this.size];
    if (this.cells[place] >= START || [row, column].some((at) => at === 0 || at === this.size - 1)) return;
    const cells = this.cells.slice();
    if (this.held >= START) cells[cells.indexOf(this.held)] = FREE;
    cells[place] = this.held;
    this.#take(cells);
  }

  #take(cells) {
    this.cells = cells;
    this.#draw();
    try {
      shortestRoute(cells);
      this.changed(imageOf(cells));
    } catch (error) {
      this.complain(error.message);
    }
  }

  // Arrows go from cell to cell, Enter sets or opens a wall, s and g put start and goal.
  #keyed(event) {
    if (event.metaKey || event.ctrlKey || event.altKey) return;
    const { size, cursor } = this,
      inside = (at) => Math.min(Math.max(at, 1), size - 2);
    if (event.key in KEYS) {
      const [down, right] = KEYS[event.key];
      this.cursor = inside(Math.floor(cursor / size) + down) * size + inside((cursor % size) + right);
    } else if (event.key === "Enter" || event.key === " ") {
      if (this.cells[cursor] < START) this.#hold(cursor);
    } else if (event.key === "s" || event.key === "g") {
      this.held = event.key === "s" ? START : GOAL;
      this.#put(cursor);
    } else return;
    event.preventDefault();
    event.stopPropagation();
    const at = `row ${Math.floor(this.cursor / size) + 1}, column ${(this.cursor % size) + 1}`;
    this.canvas.setAttribute("aria-label", `Maze, ${at}: ${CELLS[this.cells[this.cursor]]}`);
    this.#draw();
  }

  #draw() {
    this.paint(this.canvas, imageOf(this.cells));
    if (this.canvas !== document.activeElement || !this.canvas.matches(":focus-visible")) return;
    const context = this.canvas.getContext("2d");
    context.fillStyle = "#1f6fb8";
    context.globalAlpha = 0.55;
    context.fillRect(this.cursor % this.size, Math.floor(this.cursor / this.size), 1, 1);
  }
}
