/** Breaks help at the width of the terminal it is shown on. Pure. */

/** Breaks one line between words. Later lines are indented as far as the text after the list's mark. */
function fold(line: string, width: number): string[] {
  if (line.length <= width) return [line];
  const indent = /^ *(?:\d+\. )?/.exec(line)?.[0] ?? "";
  const folded: string[] = [];
  let current = indent;
  for (const word of line.slice(indent.length).split(" ")) {
    const is_first = current.trim() === "" || current === indent;
    if (!is_first && current.length + 1 + word.length > width) {
      folded.push(current);
      current = " ".repeat(indent.length) + word;
    } else current += is_first ? word : ` ${word}`;
  }
  return [...folded, current];
}

/**
 * A text whose lines are at most `width` long where words allow it. Lines that begin at the margin and
 * stand together are one paragraph and flow anew; indented ones only break.
 */
export function reflow(text: string, width: number): string {
  const paragraphs: string[] = [];
  let is_flowing = false;
  for (const line of text.split("\n")) {
    const flows = /^[^\s]/.test(line);
    if (flows && is_flowing) paragraphs.push(`${paragraphs.pop()} ${line}`);
    else paragraphs.push(line);
    is_flowing = flows && !line.endsWith(":");
  }
  return paragraphs.flatMap((line) => fold(line, width)).join("\n");
}
