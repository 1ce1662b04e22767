// Buttons with a picture each: the test samples that the file carries.

// The numbers of a sample as the network takes them.
export const shownBy = ({ pixels, values }) =>
  values ? Float32Array.from(values) : Float32Array.from(atob(pixels), (c) => c.charCodeAt(0) / 255);

// Build a button for every sample; `paint(canvas, shown)` draws it, `chosen(shown, number)` is called on a click.
export function sampleButtons(parent, samples, paint, chosen) {
  samples.forEach((sample, number) => {
    const button = document.createElement("button"),
      canvas = document.createElement("canvas"),
      shown = shownBy(sample),
      name = `Test sample ${number + 1}${sample.label ? `, labelled ${sample.label}` : ""}`;
    Object.assign(button, { type: "button", title: name });
    button.setAttribute("aria-label", name);
    paint(canvas, shown);
    button.append(canvas);
    button.addEventListener("click", () => chosen(shown, number));
    parent.append(button);
  });
}

// Mark the sample of this number, or none.
export function markSample(parent, number) {
  [...parent.children].forEach((button, i) => button.setAttribute("aria-pressed", String(i === number)));
}
