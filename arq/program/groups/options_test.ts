/** How the command line parses shares of the traffic. */
import assert from "node:assert/strict";
import { InvalidArgumentError } from "commander";
import { percentage } from "./options.ts";

Deno.test("a share is a percentage with its sign or without, and a fraction is refused with both readings", () => {
  const taken: [string, number][] = [
    ["1", 0.01],
    ["1%", 0.01],
    ["10", 0.1],
    ["12.5", 0.125],
    ["0.1%", 0.001],
    ["0", 0],
    ["100", 1],
    ["100%", 1],
  ];
  for (const [text, share] of taken) assert.equal(percentage(text), share, text);
  const refused: [string, RegExp][] = [
    ["0.1", /0\.1% or 10%/],
    [".07", /0\.07% or 7%/],
    ["101", /0 to 100/],
    ["100.1%", /0 to 100/],
    ["-1", /0 to 100/],
    ["ten", /0 to 100/],
    ["", /0 to 100/],
  ];
  for (const [text, message] of refused) {
    assert.throws(
      () => percentage(text),
      (error) => error instanceof InvalidArgumentError && message.test(error.message),
      text,
    );
  }
});
