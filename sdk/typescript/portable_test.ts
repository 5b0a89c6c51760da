// The SDK must run without Deno: it is type-checked with the web platform's types only. That it loads only modules of
// this repository is a rule of tasks/rules/layer_rules.ts.
import assert from "node:assert/strict";

const ROOT = new URL("../../", import.meta.url).pathname;

Deno.test("the SDK needs nothing but the web platform's globals", async () => {
  const folder = await Deno.makeTempDir();
  const config = `${folder}/deno.json`;
  await Deno.writeTextFile(
    config,
    JSON.stringify({
      imports: { "@arqon/proto": `${ROOT}proto/mod.ts` },
      compilerOptions: { strict: true, exactOptionalPropertyTypes: true, lib: ["esnext", "dom"] },
    }),
  );
  const check = async (file: string) => {
    const args = ["check", "--no-lock", "--config", config, file];
    const { code, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
    return { code, text: new TextDecoder().decode(stderr) };
  };
  const { code, text } = await check(`${ROOT}sdk/typescript/mod.ts`);
  assert.equal(code, 0, text);
  // The check can fail at all.
  await Deno.writeTextFile(`${folder}/bad.ts`, "Deno.exit(0);\n");
  assert.notEqual((await check(`${folder}/bad.ts`)).code, 0);
  await Deno.remove(folder, { recursive: true });
});
