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
import { isGenerated } from "../checkout/source_files.ts";
import type { Violation } from "../checkout/violation.ts";
import type { Sources } from "./sources.ts";

const SCHEMA = "docs/config.schema.json";
const STATE_SCHEMA = "docs/state.schema.json";

/** The first line of an example that is no configuration, but what `arq apply` reads. */
const STATE_MARK = "#:schema ./state.schema.json";

function configCheck(sources: Sources): (text: string) => string | undefined {
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
  const isState = ajv.compile(sources.json(STATE_SCHEMA));
  const validate = ajv.compile(sources.json(SCHEMA));
  return (text) => {
    if (text.startsWith(STATE_MARK)) {
      const parsed = parseToml(text);
      if (!parsed.ok) return parsed.message;
      if (isState(parsed.document.value)) return undefined;
      return `${STATE_SCHEMA}: ${ajv.errorsText(isState.errors)}`;
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

/** The violations in all documents, and in all files that may name one. */
export function checkDocuments(sources: Sources): Violation[] {
  const paths = withFolders(sources.paths);
  const pages = sources.ending([".md"]);
  const checkout = {
    has: (path: string) => paths.has(path),
    markdown: (path: string) => pages.includes(path) ? sources.text(path) : undefined,
    tasks: new Set(Object.keys(sources.json("deno.json").tasks)),
    configProblem: configCheck(sources),
  };
  const citing = sources.ending(CITING_EXTENSIONS).filter((path) => !isGenerated(path));
  return [
    ...pages.flatMap((path) => checkMarkdown(path, sources.text(path), checkout)),
    ...citing.flatMap((path) => checkCitations(path, sources.text(path), checkout)),
  ];
}
