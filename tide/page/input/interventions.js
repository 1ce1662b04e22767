// The sliders that disturb a network, and what they are set to.

export const UNDISTURBED = { silenceE: 0, silenceI: 0, inhibition: 1, noise: 0, longer: 1 };

const percent = (x) => `${Math.round(100 * x)} %`,
  times = (x) => `× ${x}`;
const SLIDERS = [
  { name: "silenceE", text: "Silence excitatory", kind: "e", max: 1, step: 0.05, show: percent, populations: true },
  { name: "silenceI", text: "Silence inhibitory", kind: "i", max: 1, step: 0.05, show: percent, populations: true },
  {
    name: "inhibition",
    text: "Inhibition of E",
    kind: "i",
    max: 3,
    step: 0.1,
    show: (x) => times(x.toFixed(1)),
    populations: true,
  },
  { name: "noise", text: "Noise on the image", kind: "", max: 1, step: 0.05, show: (x) => x.toFixed(2), images: true },
  { name: "longer", text: "Think longer", kind: "", min: 1, max: 8, step: 1, show: times },
];

// Build into `parent` the sliders that a network has, by whether it has `populations` and takes `images`;
// `changed(name, value)` on every move. Returns a function that shows other values.
export function sliders(parent, { populations, images }, changed) {
  const fits = (one) => (populations || !one.populations) && (images || !one.images);
  const shown = SLIDERS.filter(fits).map((one) => {
    const label = document.createElement("label");
    label.className = `slider ${one.kind}`;
    label.innerHTML = `<span></span><output></output><input type="range">`;
    const [text, output, input] = label.children;
    text.textContent = one.text;
    Object.assign(input, { id: one.name, min: one.min ?? 0, max: one.max, step: one.step });
    input.addEventListener("input", () => changed(one.name, Number(input.value)));
    parent.append(label);
    return (values) => {
      input.value = values[one.name];
      output.textContent = one.show(values[one.name]);
      input.setAttribute("aria-valuetext", output.textContent);
    };
  });
  return (values) => shown.forEach((show) => show(values));
}
