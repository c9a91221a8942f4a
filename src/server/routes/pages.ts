/** The first page: where things are. */
export const landingPage = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>Ballast</title>
<style>
body { font: 16px/1.6 system-ui, sans-serif; max-width: 42rem; margin: 4rem auto; padding: 0 1rem; color: #1c2733; background: #fff; }
code { background: #eef2f6; padding: .1em .3em; border-radius: 3px; }
a { color: #0b5cad; }
@media (prefers-color-scheme: dark) { body { color: #dfe7ef; background: #11171d; } code { background: #1f2a35; } a { color: #7db8f5; } }
</style>
</head>
<body>
<h1>Ballast</h1>
<p>Keeps a pretrained model steady when the field moves.</p>
<ul>
<li><a href="docs">Try the API</a>, described by <a href="openapi.json">OpenAPI</a></li>
<li><a href="deepfake">Real or fake?</a> Drop a picture or a video, see what a deepfake model says of its faces</li>
<li><a href="v1/models">The models</a> that are served</li>
<li><a href="v2">Open Inference Protocol</a>, <a href="v2/health/ready">readiness</a></li>
<li><a href="metrics">Metrics</a> for Prometheus</li>
</ul>
<p>Send a picture: <code>curl -F image=@cat.jpg HOST/v1/models/MODEL/predict</code></p>
</body>
</html>
`;

/** The page that hosts Swagger UI. */
export const docsPage = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>Ballast: the API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
`;

/** Starts Swagger UI; a file of its own, because inline scripts are forbidden. */
export const docsScript = `SwaggerUIBundle({ url: 'openapi.json', dom_id: '#ui', deepLinking: true, validatorUrl: null });
`;
