/** The content of a secret's file, and changes of it. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { keptLog } from "../testing/logs.ts";
import { headersIn, passwordIn, readSecret, RenewedSecret, tokenIn } from "./secret_file.ts";

const FILE = { key: "nats.password_file", path: "/run/secrets/nats" };

Deno.test("a password is the only line, and loses its end alone", () => {
  for (const end of ["", "\n", "\r\n", "\n\n"]) {
    assert.equal(passwordIn(` s3 c€t ${end}`), " s3 c€t ");
  }
  for (const text of ["", "\n", "\r\n\n"]) assert.throws(() => passwordIn(text), /is empty/);
  for (const text of ["a\nb", "a\nb\n", "\na", "a\tb", "a\0"]) {
    assert.throws(() => passwordIn(text), /more than one line/);
  }
  const lines = fc.string({ minLength: 1 }).filter((text) => !/[\p{Cc}]/u.test(text));
  fc.assert(fc.property(lines, (text) => assert.equal(passwordIn(`${text}\n`), text)));
});

Deno.test("a token has no spaces; white space around it is ignored", () => {
  assert.equal(tokenIn("  t0k.en-_=\n"), "t0k.en-_=");
  for (const text of ["a b", "é", "a\nb"]) {
    assert.throws(() => tokenIn(text), { name: "SecretProblem" });
  }
  assert.throws(() => tokenIn(" \n"), /is empty/);
});

Deno.test("headers are read a line, as curl does", () => {
  assert.deepEqual(
    headersIn("# of the collector\nauthorization: Bearer a:b=\r\n\nX-Scope:  acme \nempty:\n"),
    { authorization: "Bearer a:b=", "X-Scope": "acme", empty: "" },
  );
  for (
    const [text, problem] of [
      ["", /is empty/],
      ["# nothing\n", /is empty/],
      ["a: b\nsecret", /line 2/],
      ["a: b\nbad name: secret", /line 2/],
      ["a: s\u00e9cret", /line 1/],
      ["a: 1\nA: 2", /twice, the second time in line 2/],
      [Array.from({ length: 65 }, (_, at) => `h${at}: 1`).join("\n"), /more than 64/],
    ] as const
  ) {
    assert.throws(() => headersIn(text), (error) => {
      assert.ok(error instanceof Error);
      assert.match(error.message, problem);
      assert.doesNotMatch(error.message, /secret|cret/);
      return true;
    });
  }
});

Deno.test("the problem of a file is reported with its key and path, never with its content", () => {
  const message = (text: string | Error) => {
    try {
      readSecret(
        () => {
          if (text instanceof Error) throw text;
          return text;
        },
        FILE,
        passwordIn,
      );
    } catch (error) {
      assert.ok(error instanceof Error);
      assert.equal(error.name, "ConfigError");
      return error.message;
    }
    assert.fail("accepted");
  };
  assert.equal(
    message(new Error("No such file")),
    'nats.password_file: "/run/secrets/nats" cannot be read (No such file); give the path of a file',
  );
  assert.equal(message(""), 'nats.password_file: "/run/secrets/nats" is empty; expected one line');
  assert.match(message("hunter\ufffd"), /is not UTF-8 text/);
  assert.doesNotMatch(message("hunter\nhunter"), /hunter/);
  const parse = () => {
    throw new TypeError("hunter2 is no seed");
  };
  assert.throws(
    () => readSecret(() => "hunter2", FILE, parse),
    /"\/run\/secrets\/nats" cannot be used$/,
  );
  assert.equal(readSecret(() => "\ufeffhunter2\r\n", FILE, passwordIn), "hunter2");
});

Deno.test("a secret that cannot be read again stays in use, and that is reported once", () => {
  let text: string | undefined = "s-1\n";
  const { log, lines } = keptLog({ level: "info", now: () => 0 });
  const read = () => {
    if (text === undefined) throw new Error("gone");
    return text;
  };
  const secret = new RenewedSecret(() => readSecret(read, FILE, passwordIn), log);
  assert.equal(secret.current(), "s-1");
  text = "s-2";
  assert.equal(secret.current(), "s-2");
  text = undefined;
  assert.deepEqual([secret.current(), secret.current()], ["s-2", "s-2"]);
  text = "";
  assert.equal(secret.current(), "s-2");
  text = "s-3";
  assert.deepEqual([secret.current(), secret.current()], ["s-3", "s-3"]);
  assert.deepEqual(lines.map((line) => /level=(\w+)/.exec(line)?.[1]), ["error", "error", "info"]);
  assert.match(lines[0] ?? "", /nats\.password_file.*gone/);
  assert.doesNotMatch(lines.join(""), /s-\d/);
  assert.throws(() => new RenewedSecret(() => readSecret(() => "", FILE, passwordIn)), /is empty/);
});
