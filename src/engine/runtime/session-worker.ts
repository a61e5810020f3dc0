import { serve } from "../threads/serve.ts";
import { sessionMethods } from "./session-methods.ts";

serve(sessionMethods);
