/** Writes received messages to stdout in the form that fits the reader; `format.ts` has the forms. */
import type { Message } from "@arqon/sdk";
import { humanLine, jsonLine, rawLine } from "./format.ts";
import { print } from "./io.ts";
import type { Io } from "./io.ts";

/** Writes one message: an object with `json`, a line on a terminal, else its bytes. */
export async function writeMessage(
  io: Io,
  message: Message,
  json: boolean,
): Promise<void> {
  if (json) return await io.stdout.write(jsonLine(message));
  if (io.stdout.is_tty) return await print(io.stdout, humanLine(message));
  await io.stdout.write(rawLine(message));
}
