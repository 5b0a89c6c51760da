/** Issuers whose admins operate the bus, and configurations that must name them but do not. */
import assert from "node:assert/strict";
import { ConfigError, configFrom, parseConfig } from "./load.ts";
import { operatorTenants } from "./operators.ts";

const issuer = (tenants: readonly string[], roles: readonly string[], name = "one") => `
[[auth.issuers]]
issuer = "${name}"
audience = "arqon"
pem_file = "key.pem"
tenants = ${JSON.stringify(tenants)}
roles = ${JSON.stringify(roles)}
`;
const STAFF = issuer(["ops"], ["admin"], "staff");
const PEOPLE = issuer(["*"], ["user", "service"], "people");

const read = (text: string, defaults = {}) => parseConfig(text, { file: "c.toml", defaults });

const SEVERAL: readonly (readonly [name: string, text: string, line: string])[] = [
  ["any tenant", issuer(["*"], ["admin"]), 'operator_tenants = ["ops"]'],
  ["two tenants", issuer(["acme", "globex"], ["user", "admin"]), 'operator_tenants = ["acme"]'],
  ["one and any", issuer(["ops", "*"], ["admin"]), 'operator_tenants = ["ops"]'],
  ["two issuers", STAFF + issuer(["acme"], ["service", "admin"]), 'operator_tenants = ["ops"]'],
  ["beside others", PEOPLE + issuer(["*"], ["admin"], "two"), 'operator_tenants = ["ops"]'],
];

Deno.test("admins of several tenants without operator_tenants: refused with the line to add", async (test) => {
  for (const [name, text, line] of SEVERAL) {
    await test.step(name, () => {
      assert.throws(() => read(text), (error) => {
        assert.ok(error instanceof ConfigError);
        assert.deepEqual(error.problems.map(({ key }) => key), ["admin.operator_tenants"]);
        assert.ok(
          error.message.endsWith(`add to the table [admin] the line ${line}`),
          error.message,
        );
        return true;
      });
      // With that line it starts, wherever the table is in the file.
      const mended = read(`${text}[admin]\n${line}\n`);
      assert.equal(`operator_tenants = ${JSON.stringify(operatorTenants(mended))}`, line);
      assert.deepEqual(operatorTenants(read(text, { operator_tenants: ["*"] })), ["*"]);
    });
  }
});

Deno.test("one tenant with admins operates the bus, and without admins nobody does", () => {
  assert.deepEqual(operatorTenants(configFrom({})), []);
  assert.deepEqual(operatorTenants(read(PEOPLE)), []);
  assert.deepEqual(operatorTenants(read(PEOPLE + STAFF)), ["ops"]);
  assert.deepEqual(operatorTenants(read(STAFF + issuer(["ops"], ["admin"], "also"))), ["ops"]);
  assert.deepEqual(
    operatorTenants(read(`[admin]\noperator_tenants = ["root"]\n${STAFF}`)),
    ["root"],
    "what is said holds",
  );
  assert.deepEqual(operatorTenants(read(`[admin]\noperator_tenants = ["*"]\n${PEOPLE}`)), ["*"]);
});
