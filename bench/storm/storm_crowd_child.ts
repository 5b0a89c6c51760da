/**
 * A program that is a crowd of clients. Its first line on stdin is a plan as JSON; then it prints the number of
 * connected clients. For each further line it drops all connections, and prints a report when all clients are connected
 * again. `storm.ts` starts it.
 */
import { Crowd } from "./storm_crowd.ts";
import { ownLines } from "../measure/text_lines.ts";

if (import.meta.main) {
  const lines = ownLines();
  const crowd = new Crowd(JSON.parse((await lines.next()).value ?? ""));
  console.log(JSON.stringify({ open: await crowd.connect() }));
  const onBack = () => console.log(JSON.stringify({ back: true }));
  while (!(await lines.next()).done) console.log(JSON.stringify(await crowd.storm(onBack)));
  crowd.close();
  Deno.exit(0);
}
