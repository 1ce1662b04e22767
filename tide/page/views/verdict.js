// The answer in large, how certain it is, and when it would have been certain enough.

export function showVerdict(parent, { thought, tick, threshold }, answer, told) {
  const label = parent.querySelector(".label"),
    stop = thought.stop(threshold);
  label.textContent = answer;
  label.classList.toggle("long", answer.length > 3 || thought.about.labels.some((one) => one.length > 3));
  parent.querySelector(".verdict p").innerHTML =
    `<b data-quantity="certainty">${thought.certainty[tick].toFixed(4)}</b> ` +
    `${thought.about.emitted ? "of the list out" : "certain"} at tick <b>${tick + 1}</b><br>` +
    (stop < 0
      ? "never sure enough to stop"
      : `sure enough at tick <b data-quantity="stop">${stop + 1}</b>${told(stop) && `: ${text(told(stop))}`}`);
}

// Any value as text inside HTML.
export function text(value) {
  const span = document.createElement("span");
  span.textContent = value;
  return span.innerHTML;
}
