/** Writes received messages to stdout in the form that the reader wants; the forms are `format.ts`. */
import type { Message } from "@arqon/sdk";
import { humanLine, jsonLine, rawLine } from "./format.ts";
import { print } from "./io.ts";
import type { Io } from "./io.ts";

/** One message: with `json` an object, on a terminal a line, else its bytes. */
export async function writeMessage(
  io: Io,
  message: Message,
  json: boolean,
): Promise<void> {
  if (json) return await io.stdout.write(jsonLine(message));
  if (io.stdout.is_tty) return await print(io.stdout, humanLine(message));
  await io.stdout.write(rawLine(message));
}
