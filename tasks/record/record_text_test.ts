/** What of a session stays from run to run, and the form in which a page shows it. */
import assert from "node:assert/strict";
import { difference, normalise, sessionOf, sessionText, withoutInstall } from "./record_text.ts";

const differing = {
  folder: "/tmp/a",
  config_home: "/tmp/a_config",
  ports: [50_001, 50_002, 50_003],
} as const;
const entries = [
  { terminal: 1, command: "npm install ./a.tgz", output: "\nadded 3 packages in 4s\n" },
  { terminal: 1, command: "npx arq init", output: "\u001b[32mok\u001b[39m  \n" },
  { terminal: 2, command: "npx arq sub lobby", output: "Subscribed\n" },
  { terminal: 3, command: "npx arq pub lobby 1", output: "" },
  { terminal: 2, command: "", output: "1\n" },
];

Deno.test("places, ports, ids, tokens and times become the same ones", () => {
  assert.equal(
    normalise(
      "/tmp/a/x /tmp/a_config/y\r\nws://127.0.0.1:50001 500011 http://127.0.0.1:50003\r\n" +
        "shield-abcdefghijklmnopqrstuv 2026-11-20T20:41:20.929Z eyJa.eyJb.c-d added 5 packages in 12s",
      differing,
    ),
    "/home/ada/my-bus/x /home/ada/.config/y\nws://127.0.0.1:4000 500011 http://127.0.0.1:4002\n" +
      "shield-… 2026-01-01T00:00:00.000Z eyJhbGciOiJSUzI1NiIs… added 3 packages in 4s",
  );
});

Deno.test("the text has no colours and names the terminal where it changes", () => {
  assert.equal(
    sessionText(entries),
    `$ npm install ./a.tgz

added 3 packages in 4s
$ npx arq init
ok

# in a second terminal
$ npx arq sub lobby
Subscribed

# in a third
$ npx arq pub lobby 1

# in a second terminal
1
`,
  );
  assert.match(withoutInstall(sessionText(entries)), /^\$ npx arq init\nok\n/);
  assert.equal(withoutInstall("$ npx arq init\n"), "$ npx arq init\n");
});

Deno.test("the session of a page is what stands between its marks; a page without them has none", () => {
  const page = "a\n<!-- what deno task readme runs -->\n\n```text\n$ a\n```\n\n" +
    "<!-- end of what was recorded -->\nb\n";
  assert.equal(sessionOf(page), "$ a\n");
  assert.equal(sessionOf("a\n"), undefined);
});

Deno.test("a session that went otherwise is told by its first line", () => {
  assert.equal(difference("a\nb\n", "a\nb\n"), undefined);
  assert.match(difference("a\nb\n", "a\nc\n") ?? "", /^line 2\n {2}recorded: b\n {2}now: {6}c$/);
  assert.match(difference("a\nb", "a") ?? "", /^line 2\n {2}recorded: b\n {2}now: {6}\(its end\)$/);
});
