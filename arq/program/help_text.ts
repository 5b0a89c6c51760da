/** Wraps help at the width of the terminal. Pure. */

/** Wraps one line between words. Later lines are indented to the text after the list's mark. */
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
 * A text whose lines are at most `width` long where words allow it. Adjacent lines without indentation are one
 * paragraph and are reflowed; indented ones are only wrapped.
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
