/** What stays on the screen of spinners, prompts and colours. */
import assert from "node:assert/strict";
import { onScreen } from "./screen.ts";

Deno.test("a line that is drawn over is seen as it was drawn last", () => {
  assert.equal(onScreen("⠙\u001b[1G\u001b[0K⠹\u001b[1G\u001b[0KSubscribed\r\n"), "Subscribed\n");
  assert.equal(onScreen("a\rb\r\n\u001b[32mok\u001b[39m\r\n"), "b\nok\n");
});

Deno.test("downloads that Deno draws for a moment are not there", () => {
  const drawn = (bar: string) =>
    `\u001b[0m\u001b[32mDownload\u001b[0m ${bar} [00:00] 6/7\r\r\n\u001b[0m  npm:commander\r\r\n\u001b[0m`;
  const output = `${drawn("▰▰▱")}\u001b[0G\u001b[2A${drawn("▰▰▰")}\u001b[0GSubscribed\r\n`;
  assert.equal(onScreen(output), "Subscribed\n");
});

Deno.test("a dialog is seen as wscat shows it", () => {
  const prompt = "\u001b[1G\u001b[0J> \u001b[3G";
  const message = (text: string) => `\r\u001b[2K\u001b[3D\u001b[34m< ${text}\u001b[39m\r\n`;
  const output = `${prompt}${message("1")}${prompt}{"op":"sub"}\r\r\n${prompt}${message("2")}`;
  assert.equal(onScreen(output + prompt), '< 1\n> {"op":"sub"}\n< 2\n> ');
});
