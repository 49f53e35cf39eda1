-- Aliases were part of their function; each is a resource of its own now. All led to $LATEST.
INSERT OR IGNORE INTO resources (kind, name, body)
SELECT 'alias', resources.name || ':' || alias.key, CAST(json_object(
    'function', resources.name,
    'name', alias.key,
    'version', alias.value,
    'revision_id', lower(hex(randomblob(16))),
    'owner', CASE json_type(CAST(resources.body AS TEXT), '$.owner') WHEN 'object' THEN json_object(
        'stack', json_extract(CAST(resources.body AS TEXT), '$.owner.stack'),
        'logical_id', json_extract(CAST(resources.body AS TEXT), '$.owner.logical_id')
            || 'Alias' || alias.key
    ) END
) AS BLOB)
FROM resources, json_each(CAST(resources.body AS TEXT), '$.aliases') AS alias
WHERE resources.kind = 'function';
