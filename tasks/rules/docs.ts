/**
 * Checks every Markdown file of the checkout by `doc_rules.ts`, and the documents that code names by
 * `citation_rules.ts`. A `toml` block must pass our config loader and the JSON Schema for editors, so that
 * the two cannot drift apart; one that names the schema of a tenant's state must pass that.
 */
import { Ajv2020 } from "ajv/dist/2020.js";
import { ConfigError, parseConfig } from "../../shared/config/load.ts";
import { parseToml } from "../../shared/config/toml.ts";
import { checkCitations, CITING_EXTENSIONS } from "./citation_rules.ts";
import { checkMarkdown } from "./doc_rules.ts";
import { isGenerated, listFiles, ROOT } from "../checkout/source_files.ts";
import { exitWith, type Violation } from "../checkout/violation.ts";

const SCHEMA = "docs/config.schema.json";
const STATE_SCHEMA = "docs/state.schema.json";

/** The first line of an example that is no configuration, but what `arq apply` reads. */
const STATE_MARK = "#:schema ./state.schema.json";

async function configCheck(): Promise<(text: string) => string | undefined> {
  const ajv_state = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
  const isState = ajv_state.compile(JSON.parse(await Deno.readTextFile(ROOT + STATE_SCHEMA)));
  const schema = JSON.parse(await Deno.readTextFile(ROOT + SCHEMA));
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
  const validate = ajv.compile(schema);
  return (text) => {
    if (text.startsWith(STATE_MARK)) {
      const parsed = parseToml(text);
      if (!parsed.ok) return parsed.message;
      if (isState(parsed.document.value)) return undefined;
      return `${STATE_SCHEMA}: ${ajv_state.errorsText(isState.errors)}`;
    }
    try {
      parseConfig(text, { file: "example" });
    } catch (error) {
      if (error instanceof ConfigError) return error.message;
      throw error;
    }
    const parsed = parseToml(text);
    if (!parsed.ok) return `the loader accepts what toml.ts refuses: ${parsed.message}`;
    if (validate(parsed.document.value)) return undefined;
    return `${SCHEMA} refuses what the loader accepts: ${ajv.errorsText(validate.errors)}`;
  };
}

/** The files, and every folder above them. */
function withFolders(files: readonly string[]): Set<string> {
  const paths = new Set<string>();
  for (const file of files) {
    for (let path = file; path !== ""; path = path.replace(/\/?[^/]*$/, "")) paths.add(path);
  }
  return paths;
}

async function citationViolations(
  checkout: Parameters<typeof checkCitations>[2],
): Promise<{ files: number; violations: Violation[] }> {
  const files = (await listFiles(CITING_EXTENSIONS)).filter((path) => !isGenerated(path));
  const found = files.map(async (path) =>
    checkCitations(path, await Deno.readTextFile(ROOT + path), checkout)
  );
  return { files: files.length, violations: (await Promise.all(found)).flat() };
}

if (import.meta.main) {
  const paths = withFolders(await listFiles([""]));
  const pages = new Map<string, string>();
  for (const path of await listFiles([".md"])) {
    pages.set(path, await Deno.readTextFile(ROOT + path));
  }
  const { tasks } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  const checkout = {
    has: (path: string) => paths.has(path),
    markdown: (path: string) => pages.get(path),
    tasks: new Set(Object.keys(tasks)),
    configProblem: await configCheck(),
  };
  const cited = await citationViolations(checkout);
  exitWith(
    [
      ...[...pages].flatMap(([path, text]) => checkMarkdown(path, text, checkout)),
      ...cited.violations,
    ],
    `${pages.size} documents, and ${cited.files} files that may name one`,
  );
}
