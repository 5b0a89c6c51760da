/** Text in pieces of any size to its lines, for programs that talk to each other in lines. */

/** Gives each line without its break; what stands after the last break too, unless it is empty. */
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
