/** Splits text from chunks of any size into lines, for programs that exchange lines. */

/** A stream that gives each line without its line break, and the text after the last break unless it is empty. */
export class TextLineStream extends TransformStream<string, string> {
  constructor() {
    let rest = "";
    super({
      transform(text, controller) {
        const lines = (rest + text).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) controller.enqueue(line);
      },
      flush(controller) {
        if (rest !== "") controller.enqueue(rest);
      },
    });
  }
}

/** The lines of this program's standard input, until it ends. */
export function ownLines(): AsyncIterableIterator<string> {
  return Deno.stdin.readable.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream())
    .values();
}
