// The bar at the bottom: play, pause, drag the tick, step with the keys.

const PER_SECOND = 6; // ticks, while a thought of usual length plays
const SHAPES = { play: "M7 4v16l13-8z", pause: "M6 4h4v16H6zM14 4h4v16h-4z" };

export class Timeline {
  // `moved(tick)` is called for every tick to show, from 0.
  constructor(moved) {
    const part = (id) => document.getElementById(id);
    Object.assign(this, { moved, timer: null, tick: 0, length: 1, speed: 1 });
    Object.assign(this, {
      slider: part("tick"),
      number: part("tick-number"),
      button: part("play"),
      shape: part("play-shape"),
    });
    this.slider.addEventListener("input", () => this.#go(Number(this.slider.value) - 1));
    this.button.addEventListener("click", () => this.toggle());
    addEventListener("keydown", (event) => this.#keyed(event));
  }

  get playing() {
    return this.timer !== null;
  }

  // Stand at `tick` of a thought of `length` ticks, which plays `speed` times as fast as usual.
  show(tick, length, speed) {
    Object.assign(this, { tick, length, speed });
    this.slider.max = length;
    this.slider.value = tick + 1;
    this.number.textContent = `tick ${tick + 1} of ${length}`;
  }

  play() {
    this.pause();
    this.moved(0);
    this.timer = setInterval(
      () => (this.tick + 1 < this.length ? this.moved(this.tick + 1) : this.pause()),
      1000 / (PER_SECOND * this.speed),
    );
    this.#look("Pause");
  }

  pause() {
    clearInterval(this.timer);
    this.timer = null;
    this.#look("Play");
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  #look(does) {
    this.button.setAttribute("aria-label", does);
    this.shape.setAttribute("d", SHAPES[does.toLowerCase()]);
  }

  #go(tick) {
    this.pause();
    this.moved(Math.min(Math.max(tick, 0), this.length - 1));
  }

  #keyed(event) {
    if (event.target.matches("input, button, label, summary") || event.metaKey || event.ctrlKey || event.altKey) return;
    if (event.key === "ArrowRight") this.#go(this.tick + 1);
    else if (event.key === "ArrowLeft") this.#go(this.tick - 1);
    else if (event.key === " ") this.toggle();
    else return;
    event.preventDefault();
  }
}
