/**
 * Makes zod validate without generated functions, which a page's content policy forbids. It must be imported before any
 * schema is built, and does nothing else.
 */
import * as z from "zod";

z.config({ jitless: true });
