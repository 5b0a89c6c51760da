/**
 * Packages whose types reach every module of a program. TypeScript checks all modules anew when a program has other ones
 * of these than the program before, so each of our test programs has them all, by its first module. No value is loaded.
 */
import type {} from "ai";
import type {} from "assemblyscript/asc";
import type {} from "esbuild";
import type {} from "react-dom/server";
