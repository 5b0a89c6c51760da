/**
 * A program that is a crowd. Its first line on stdin is a plan as JSON; then it prints how many are
 * in, and for each further line it drops all and prints what came of it. `storm.ts` starts it.
 */
import { TextLineStream } from "./text_lines.ts";
import { Crowd } from "./storm_crowd.ts";

if (import.meta.main) {
  const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream()).pipeThrough(
    new TextLineStream(),
  ).values();
  const crowd = new Crowd(JSON.parse((await lines.next()).value ?? ""));
  console.log(JSON.stringify({ open: await crowd.connect() }));
  for await (const _line of lines) console.log(JSON.stringify(await crowd.storm()));
  crowd.close();
  Deno.exit(0);
}
