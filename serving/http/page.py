"""The page at ``/``: what there is to call. It loads nothing and runs nothing."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Bonafide</title></head>
<body>
<h1>Bonafide</h1>
<p>Tells machine-generated speech from human speech.</p>
<pre>curl -F audio=@voicemail.ogg http://localhost:3000/v1/detect</pre>
<ul>
<li><code>POST /v1/detect</code>: the verdict on a recording</li>
<li><code>POST /v1/explain</code>: the same, with what it rests on</li>
<li><code>POST /v1/provenance</code>: what a file itself says of its origin</li>
<li><a href="live">/live</a>: a microphone, judged while it hears (<code>WS /v1/stream</code>)</li>
<li><a href="app/">/app/</a>: a recording or a microphone, judged in the browser alone</li>
<li><a href="v1/model">/v1/model</a>: the bundle that answers, with its model card</li>
<li><a href="docs.json">/docs.json</a>: all calls, as an OpenAPI document</li>
<li><a href="livez">/livez</a>, <a href="readyz">/readyz</a>: health</li>
</ul>
</body>
</html>
"""
