/**
 * A load process: connections to one target. It reads commands from standard input, and ends when that ends.
 * `driver.ts` starts it; `crowd.ts` has the connections.
 */
import { ownLines } from "../../measure/text_lines.ts";
import { CrowdMember } from "./crowd.ts";
import { wireOf } from "../wires/wires.ts";
import type { Count, Opened, Order, Report, Sent, Word } from "./words.ts";

function say(answer: Opened | Sent | Count | Report): void {
  console.log(JSON.stringify(answer));
}

async function obey(member: CrowdMember, word: Word): Promise<void> {
  if (word.word === "run") say(await member.run(word.run, word.start_ms));
  else if (word.word === "connect") say(await member.connect(word));
  else if (word.word === "count") say({ received: member.measure.received });
  else say(member.measure.report());
}

async function open(order: Order): Promise<CrowdMember> {
  const member = new CrowdMember(await wireOf(order.wire), order);
  try {
    say({ connections: await member.open() });
  } catch (error) {
    say({ connections: 0, problem: error instanceof Error ? error.message : String(error) });
  }
  return member;
}

if (import.meta.main) {
  let member: CrowdMember | undefined;
  for await (const line of ownLines()) {
    if (member === undefined) member = await open(JSON.parse(line));
    // Nothing awaits this call, so that the process ends with its input. An error also ends the process.
    else void obey(member, JSON.parse(line));
  }
  member?.close();
  Deno.exit(0);
}
