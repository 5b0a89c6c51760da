/**
 * Measures the contrast of the text in a page by WCAG 2: a script that runs in the page and returns text below AA. No
 * text is over pictures or gradients.
 */

/** Least contrast of text: WCAG 2.2, 1.4.3, level AA, for text of any size. */
export const CONTRAST_MIN = 4.5;

/** Evaluates to `[{text, contrast}]` of visible texts whose contrast is too low. */
export const LOW_CONTRAST = `(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], below) =>
    [[r, 0], [g, 1], [b, 2]].map(([value, at]) => value * a + below[at] * (1 - a));
  const ground = (element) => {
    if (element === null) return rgba(getComputedStyle(document.body).backgroundColor);
    const color = rgba(getComputedStyle(element).backgroundColor);
    return color[3] === 1 ? color : over(color, ground(element.parentElement));
  };
  const luminance = (color) => {
    const [r, g, b] = color.slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const isOff = (element) => element.closest("[aria-disabled=true], :disabled") !== null;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  let seen = 0;
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    if (text === "" || !element.checkVisibility() || isOff(element)) continue;
    const style = getComputedStyle(element);
    const below = ground(element);
    const color = rgba(element instanceof SVGElement ? style.fill : style.color);
    const [light, dark] = [luminance(over(color, below)), luminance(below)].sort((a, b) => b - a);
    const contrast = (light + 0.05) / (dark + 0.05);
    seen++;
    if (contrast < ${CONTRAST_MIN}) found.push({ text, contrast: contrast.toFixed(2) });
  }
  if (seen < 5) found.push({ text: "only " + seen + " texts are in view", contrast: "none" });
  return found;
})()`;
