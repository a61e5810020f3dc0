import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["dist", "docs", "**/*.js", "corpus", "runs"] },
  ...tseslint.configs.recommendedTypeChecked,
  {
    linterOptions: { reportUnusedDisableDirectives: "error" },
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/consistent-type-imports": "error",
      "no-restricted-syntax": [
        "error",
        {
          selector: ["> ", "> .arguments "]
            .map((within) => `CallExpression[optional=true] ${within}:matches(UpdateExpression, AssignmentExpression)`)
            .join(),
          message: "Without a listener the arguments of ?.() are not evaluated; change the variable before.",
        },
      ],
    },
  },
);
