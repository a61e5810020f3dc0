import { serve } from "./serve.ts";
import { sessionMethods } from "./session-methods.ts";

serve(sessionMethods);
