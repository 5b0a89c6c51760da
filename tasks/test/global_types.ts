/**
 * Packages whose types affect every module of a program. TypeScript rechecks all modules if a program has a different
 * set of these packages than the previous program. So the first module of each of our test programs imports all of
 * them. No value is loaded.
 */
import type {} from "ai";
import type {} from "assemblyscript/asc";
import type {} from "esbuild";
import type {} from "react-dom/server";
