/**
 * The recipe of docs/extending.md#a-capability: it has each member of a capability, and each key, field and store
 * belongs to one.
 */
import assert from "node:assert/strict";
import ts from "typescript";
import { ConfigSchema } from "../../shared/config/schema.ts";
import { RoomClassEntry } from "../../shared/config/schema_durable.ts";
import { BRAIN_CAPABILITIES } from "../../brain/capabilities.ts";
import { SHIELD_CAPABILITIES } from "../../shield/capabilities.ts";
import { isProduct, listFiles, ROOT } from "../checkout/source_files.ts";
import { parsed } from "./sources.ts";

const read = (path: string) => Deno.readTextFile(`${ROOT}${path}`);

/** The names of an interface's members; a symbol's by its last part. */
async function membersOf(path: string, ...interfaces: string[]): Promise<string[]> {
  const tree = parsed(path, await read(path));
  return tree.statements.flatMap((one) =>
    ts.isInterfaceDeclaration(one) && interfaces.includes(one.name.text)
      ? one.members.map(({ name }) => /\w+(?=\]?$)/.exec(name?.getText(tree) ?? "")![0])
      : []
  );
}

/** The names in the first column of the section's tables, and of its sentence about Brains. */
async function recipe(): Promise<Set<string>> {
  const page = await read("docs/extending.md");
  const section = /^## A capability\n.*?(?=^## )/ms.exec(page)![0];
  const cells = [...section.matchAll(/^\| (`.*?) *\|/gm)].map(([, cell = ""]) => cell);
  return new Set(cells.flatMap((cell) => [...cell.matchAll(/\w+/g)].map(([name]) => name)));
}

Deno.test("the recipe has every member of a capability, and no other", async () => {
  const members = [
    await membersOf("shield/capability.ts", "Capability", "Opened", "Running"),
    await membersOf("brain/capability.ts", "BrainCapability", "BrainPart"),
  ];
  assert.deepEqual([...await recipe()].toSorted(), [...new Set(members.flat())].toSorted());
});

Deno.test("a capability has a name of one word, and a title of one sentence", () => {
  for (const list of [SHIELD_CAPABILITIES, BRAIN_CAPABILITIES]) {
    const names = list.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    for (const { name, title } of list) {
      assert.match(name, /^[a-z]+(?:_[a-z]+)*$/);
      assert.match(title, /^[A-Za-z][^.]{9,}$/, name);
    }
  }
});

type Declared = "config" | "tenant" | "room_class" | "stores";

/** What the kernel and `arq` use themselves. */
const KERNEL: Readonly<Record<Declared, readonly string[]>> = {
  config: [
    ...["server", "ops", "admin", "nats", "auth", "limits", "log", "telemetry", "watchdog"],
    // Parts of several capabilities: `[platform]` and `[brain]`. Classes, and the bridge of `arq`.
    ...["platform", "brain", "rooms", "bridge"],
  ],
  tenant: ["format", "version", "rooms", "require_signature", "by", "changed_ms"],
  room_class: ["tenant", "room", "slow_reader", "echo"],
  stores: [
    ...["ARQON_TENANTS", "ARQON_LIVES", "ARQON_LOGS", "ARQON_STORAGE", "ARQON_STORAGE_PROBE"],
    // They are gates: they must fail closed without the capability that writes them.
    ...["ARQON_BANS", "ARQON_REVOCATIONS"],
  ],
};

/** Each is declared once, and each that is declared exists. */
function assertOwned(declared: Declared, all: Iterable<string>): void {
  const owned = SHIELD_CAPABILITIES.flatMap((one) => one[declared] ?? []);
  assert.deepEqual([...KERNEL[declared], ...owned].toSorted(), [...new Set(all)].toSorted());
}

Deno.test("each table of the configuration, and each field of a class, has an owner", () => {
  assertOwned("config", Object.keys(ConfigSchema.shape));
  assertOwned("room_class", Object.keys(RoomClassEntry.shape));
});

Deno.test("each field of a tenant's settings has an owner", async () => {
  const text = await read("shared/records/tenant_settings.ts");
  const limits = /^const Limits = \{$.*?^\};$/ms;
  const document = /^const Document = .*?^\}\);$/ms;
  const fields = [limits, document].flatMap((part) =>
    [...part.exec(text)![0].matchAll(/^ {2}(\w+):/gm)].map(([, name = ""]) => name)
  );
  assertOwned("tenant", fields);
});

Deno.test("each store on the Spine has an owner", async () => {
  const paths = (await listFiles([".ts"])).filter((path) =>
    isProduct(path) && /^(?:shared|shield|brain)\//.test(path)
  );
  const texts = await Promise.all(paths.map(read));
  assertOwned(
    "stores",
    texts.flatMap((text) => [...text.matchAll(/"(ARQON_[A-Z_]+)"/g)].map(([, name = ""]) => name)),
  );
});
