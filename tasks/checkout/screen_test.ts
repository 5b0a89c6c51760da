/** What stays on the screen of spinners, prompts and colours. */
import assert from "node:assert/strict";
import { onScreen } from "./screen.ts";

Deno.test("a line that is drawn over is seen as it was drawn last", () => {
  assert.equal(onScreen("⠙\u001b[1G\u001b[0K⠹\u001b[1G\u001b[0KSubscribed\r\n"), "Subscribed\n");
  assert.equal(onScreen("a\rb\r\n\u001b[32mok\u001b[39m\r\n"), "b\nok\n");
});

Deno.test("a dialog is seen as wscat shows it", () => {
  const prompt = "\u001b[1G\u001b[0J> \u001b[3G";
  const message = (text: string) => `\r\u001b[2K\u001b[3D\u001b[34m< ${text}\u001b[39m\r\n`;
  const output = `${prompt}${message("1")}${prompt}{"op":"sub"}\r\r\n${prompt}${message("2")}`;
  assert.equal(onScreen(output + prompt), '< 1\n> {"op":"sub"}\n< 2\n> ');
});
