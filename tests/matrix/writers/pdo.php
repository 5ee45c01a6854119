<?php
// PHP's PDO, with INSERT ... RETURNING as frameworks use it.
[, $file, $action] = $argv;
$db = new PDO("sqlite:$file", null, null, [PDO::ATTR_TIMEOUT => 10, PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
$insert = "INSERT INTO outbox (event, data, key) VALUES ('e', ?, ?)";
switch ($action) {
    case 'commit':
        for ($i = 0; $i < (int) $argv[3]; $i++) {
            $db->beginTransaction();
            $db->prepare('INSERT INTO story (title) VALUES (?)')->execute([$i]);
            $statement = $db->prepare($insert . ' RETURNING id');
            $statement->execute([json_encode(['n' => $i]), "k$i"]);
            $statement->fetchAll();
            $db->commit();
        }
        break;
    case 'rollback':
        $db->beginTransaction();
        $db->prepare($insert)->execute(['{}', 'never']);
        $db->rollBack();
        break;
    case 'bad': $db->prepare($insert)->execute(['no JSON', 'bad']); break;
    case 'ignore': $db->prepare(str_replace('INSERT', 'INSERT OR IGNORE', $insert))->execute(['no JSON', 'bad']); break;
    case 'upsert': $db->prepare($insert . ' ON CONFLICT (key) DO UPDATE SET data = excluded.data')->execute(['{"n":"new"}', 'k0']); break;
    case 'update': $db->exec("UPDATE outbox SET tenant = 'acme'"); break;
    case 'empty': $db->exec("BEGIN; DELETE FROM outbox; UPDATE sqlite_sequence SET seq = 0 WHERE name = 'outbox'; COMMIT"); break;
    default: exit(64);
}
