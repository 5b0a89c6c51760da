/** Compiles one component of Vue or Svelte to JavaScript beside it; runs in a project with its compiler. */
import { readFileSync, writeFileSync } from "node:fs";

const [path] = process.argv.slice(2);
const text = readFileSync(path, "utf8");

async function compiled() {
  if (path.endsWith(".vue")) {
    const { parse, compileScript } = await import("vue/compiler-sfc");
    const { descriptor } = parse(text, { filename: path });
    return compileScript(descriptor, { id: "page", inlineTemplate: true }).content;
  }
  const { compile } = await import("svelte/compiler");
  return compile(text, { filename: path, generate: "client" }).js.code;
}

writeFileSync(`${path}.js`, await compiled());
