# 024_fault_campaign.pl
#     Everything that a PKCS#11 module, its token and its PIN can do wrong, one after
#     the other, on two modules at once, while clients write and read. What is asked
#     each time: no process of the server crashes and the server is not restarted;
#     no value is wrong, lost or made up; sessions that have their key go on; others
#     get a clear error; a refused PIN is tried once; and within seconds after the
#     fault is over all works again, by itself.

use strict;
use warnings;
use IPC::Run ();
use List::Util qw(max sum0);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);
use SdesTest;
use SdesFaults;
use Test::More;

my $TIMES = soak(1, 50); # each CKR
my $FEW = soak(1, 10); # what takes long
my $HOLD = soak(0.3, 1); # seconds that a fault lasts, at least
my $RECOVERY = 5; # seconds after its end
my $SQL = 'SELECT email FROM orders WHERE id = 1';

# ---- two servers, each with an HSM of its own kind ----

my @sites;

sub new_site
{
    my ($kind) = @_;
    my $hsm = new_hsm("campaign_$kind", kind => $kind);
    my $proxy = new_proxy($hsm);
    my $node = new_cluster("campaign_$kind", hsm => $hsm, conf => <<'CONF');
log_statement = none
log_connections = off
log_disconnections = off
shared_buffers = 16MB
sdes.key_cache_ttl = 1d
sdes.key_cache_max_age = 1d
CONF
    new_shop($node);
    query_as($node, 'oms', orders('insert', 1, 20), 'shop');
    my $expected = query_as($node, 'oms', 'SELECT id, email FROM orders ORDER BY id', 'shop');
    $expected =~ tr/|/ /;
    append_to_file($node->basedir . '/expected', "$expected\n");
    my ($email) = $expected =~ /^1 (.*)$/m;
    return { kind => $kind, hsm => $hsm, proxy => $proxy, node => $node, email => $email,
        start => postmaster_start($node), log => log_size($node) };
}

# ---- those who read meanwhile ----

sub start_readers
{
    my ($site) = @_;
    my $base = $site->{node}->basedir;
    for my $mode ('cached', 'fresh')
    {
        my $reader = { journal => "$base/$mode.journal", seen => 0 };
        $reader->{handle} = IPC::Run::start([ 'test/programs/reader.py',
            $site->{node}->connstr('shop') . ' user=oms', "$base/expected", $mode, $reader->{journal}, 0.05 ],
            '<', \undef, '>', "$base/$mode.out", '2>&1');
        wait_for(sub { -s $reader->{journal} }, 10) or die "no reader: " . slurp_file("$base/$mode.out");
        $site->{$mode} = $reader;
    }
    return;
}

# What a reader got since it was last asked: [ began, ended, result ].
sub news_of
{
    my ($reader) = @_;
    my $text = slurp_file($reader->{journal}, $reader->{seen});
    $text =~ s/[^\n]*\z//; # a line that is being written
    $reader->{seen} += length $text;
    return map { [ split / /, $_, 3 ] } split /\n/, $text;
}

sub stop_readers
{
    my ($site) = @_;
    append_to_file("$site->{$_}{journal}.stop", '') for 'cached', 'fresh';
    $site->{$_}{handle}->finish for 'cached', 'fresh';
    return;
}

# ---- one fault ----

sub rule
{
    my ($site, @rules) = @_;
    my $control = $site->{proxy}{control};
    append_to_file("$control.new", join '', map { "$_\n" } @rules);
    rename "$control.new", $control or die $!;
    return;
}

sub no_rule
{
    my ($site) = @_;
    unlink $site->{proxy}{control} or die "no rule: $!";
    return;
}

sub kill_agent
{
    my ($site) = @_;
    my ($pid) = agent_pids($site->{node});
    kill 'KILL', $pid if $pid;
    return;
}

# Seconds until a new session reads a value, which is asked every 100 ms.
sub recovery
{
    my ($site, $since) = @_;
    while (time - $since < 60)
    {
        my ($status, $out) = $site->{node}->psql('shop', "SET statement_timeout = '1s'; $SQL",
            extra_params => [ '-U', 'oms' ]);
        return time - $since if $status == 0 && $out eq $site->{email};
        sleep(0.1);
    }
    return 60;
}

my (%table, @order);

sub tally
{
    my ($name) = @_;
    push @order, $name if !$table{$name};
    return $table{$name} //= { times => 0, slowest => 0, logins => 0, errors => {} };
}

# Runs a fault on all sites, or those of the kind only: on() and off() for each,
# and hold, how long it lasts at least: until struck is to be read in the log of
# the proxy or of the server. Tests what has to be true of each fault; refused is
# how often the PIN may have been, errors what new sessions may have seen, within
# how soon all has to work again.
sub fault
{
    my ($name, %how) = @_;
    my $row = tally($how{row} // $name);
    my $within = $how{within} // $RECOVERY;
    my @sites = grep { $_->{kind} eq ($how{only} // $_->{kind}) } @sites;
    for my $site (@sites)
    {
        news_of($site->{$_}) for 'cached', 'fresh';
        $site->{calls} = -s $site->{proxy}{log};
    }
    my $on = time;
    $how{on}->($_) for @sites;
    sleep($how{hold} // $HOLD);
    my %struck = map { my $site = $_; ($_ => wait_for(sub { has_struck($site, $how{struck}) }, 5)) } @sites;
    my (%off, %took);
    for my $site (@sites) { $how{off}->($site); $off{$site} = time; }
    $took{$_} = recovery($_, $off{$_}) for @sites;
    for my $site (@sites)
    {
        my $node = $site->{node};
        my @cached = news_of($site->{cached});
        my @bad = grep { $_->[2] ne 'ok' } @cached;
        my $kept = !@bad && @cached;
        my @fresh = news_of($site->{fresh});
        my @wrong = grep { $_->[2] =~ /^wrong/ } @cached, @fresh;
        my @unclear = grep { $_->[2] !~ ($how{errors} // qr/^(?:ok$|58000 |53200 |0A000 )/) } @fresh;
        $row->{errors}{ (split / /, $_->[2])[0] }++ for grep { $_->[2] ne 'ok' } @fresh;
        my $calls = slurp_file($site->{proxy}{log}, $site->{calls});
        my @logins = $calls =~ /^C_Login (0x\S+)$/mg;
        my $refused = grep { /^0xa[0-3]$/ } @logins;
        $row->{logins} = max($row->{logins}, scalar @logins);
        $row->{slowest} = max($row->{slowest}, $took{$site});

        my $title = "$name, $site->{kind}";
        ok($struck{$site}, "$title: it struck");
        ok($kept, "$title: who has a key goes on") or diag($bad[0][2] // 'read nothing');
        is(scalar @wrong, 0, "$title: no value is wrong");
        is($unclear[0][2] // '', '', "$title: errors are clear ones");
        cmp_ok($refused, '<=', $how{refused} // 0, "$title: the PIN was refused no more often");
        cmp_ok($took{$site}, '<=', $within, "$title: all works again within $within s");
        ok(no_crash_quietly($site), "$title: no process of the server crashed");
    }
    $row->{times} += @sites;
    return;
}

sub has_struck
{
    my ($site, $struck) = @_;
    return slurp_file($site->{proxy}{log}, $site->{calls}) =~ $struck || log_since($site->{node}, $site->{log}) =~ $struck;
}

sub no_crash_quietly
{
    my ($site) = @_;
    my $log = log_since($site->{node}, $site->{log});
    $site->{log} += length $log;
    return $log !~ /was terminated by signal|terminating any other active server|TRAP:|PANIC:|server process .* exited with exit code/;
}

# ---- the campaign ----

@sites = map { new_site($_) } 'softhsm', 'nss';
start_readers($_) for @sites;
my $first = 10_000;

# A chapter has writers of its own, whose diaries are held against the tables.
sub chapter
{
    my ($name, $what) = @_;
    my @loads = map { start_writers($_->{node}, clients => 2, first => $first, orders => 2000, pause => 0.03) } @sites;
    $first += 4000;
    $what->();
    stop_writers($_) for @loads;
    for my $i (0 .. $#sites)
    {
        my $committed = journal_ok($loads[$i], "$name, $sites[$i]{kind}");
        my @errors = errors_ok($loads[$i], qr/^(?:58000|53200|0A000|42704|55000|XX001) /,
            "$name, $sites[$i]{kind}: writers saw clear errors only");
        note("$name, $sites[$i]{kind}: $committed orders committed, " . @errors . ' errors');
        is(postmaster_start($sites[$i]{node}), $sites[$i]{start}, "$name, $sites[$i]{kind}: the server is the same");
    }
    return;
}

# The codes of PKCS#11 v3.0, section 3.3, in what an unwrapping calls.
my @CODES = (
    [ CKR_HOST_MEMORY => 0x02 ], [ CKR_GENERAL_ERROR => 0x05 ], [ CKR_FUNCTION_FAILED => 0x06 ],
    [ CKR_DATA_INVALID => 0x20 ], [ CKR_DEVICE_ERROR => 0x30 ], [ CKR_DEVICE_MEMORY => 0x31 ],
    [ CKR_DEVICE_REMOVED => 0x32 ], [ CKR_FUNCTION_REJECTED => 0x200 ], [ CKR_KEY_HANDLE_INVALID => 0x60 ],
    [ CKR_MECHANISM_INVALID => 0x70 ], [ CKR_OBJECT_HANDLE_INVALID => 0x82 ],
    [ CKR_OPERATION_ACTIVE => 0x90 ], [ CKR_SESSION_CLOSED => 0xb0 ], [ CKR_SESSION_COUNT => 0xb1 ],
    [ CKR_SESSION_HANDLE_INVALID => 0xb3 ], [ CKR_TOKEN_NOT_PRESENT => 0xe0 ],
    [ CKR_USER_NOT_LOGGED_IN => 0x101 ], [ CKR_BUFFER_TOO_SMALL => 0x150 ],
    [ CKR_CRYPTOKI_NOT_INITIALIZED => 0x190 ], [ CKR_VENDOR_DEFINED => 0x80000001 ],
);
# The short form takes two of three.
my @CHOSEN = @CODES[ grep { $_ % 3 != 1 || soak(0, 1) } 0 .. $#CODES ];
my @FUNCTIONS = qw(C_Decrypt C_FindObjectsInit C_DecryptInit C_OpenSession C_FindObjects C_GetAttributeValue);

my $turn = 0;
for my $round (1 .. $TIMES)
{
    chapter("codes, round $round", sub {
        for my $code (@CHOSEN)
        {
            my ($name, $number) = ($code->[0], sprintf '0x%x', $code->[1]);
            my $function = $FUNCTIONS[ $turn++ % @FUNCTIONS ];
            # A session is opened, and the key looked up in it, only after something failed.
            my @rules = map { "$_ $number" } $function =~ /Open|Find|Get/ ? ($function, 'C_DecryptInit') : $function;
            fault("$name of $function", row => $name, struck => qr/^$function $number$/m,
                on => sub { rule($_[0], @rules) }, off => \&no_rule);
        }
        $turn++; # another function for each code the next time
    });
}

chapter('wrong answers', sub {
    for my $round (1 .. $FEW)
    {
        # A module that lies about a key is not told from a row that does.
        for my $how ('short', 'less', 'torn', 'wrong', 'wrong every 2')
        {
            fault("C_Decrypt: $how", struck => qr/^C_Decrypt /m, errors => qr/^(?:ok$|58000 |XX001 )/,
                on => sub { rule($_[0], "C_Decrypt $how") }, off => \&no_rule);
        }
        fault('C_DecryptInit: 300 ms', struck => qr/^C_DecryptInit /m, errors => qr/^ok$/,
            on => sub { rule($_[0], 'C_DecryptInit delay 300') }, off => \&no_rule);
    }
});

chapter('hangs', sub {
    for my $round (1 .. $FEW)
    {
        for my $seconds (1, 11, $round == 1 ? soak([], [60])->@* : ())
        {
            fault("C_Decrypt hangs for $seconds s", hold => $seconds, struck => qr/hangs$/m,
                on => sub { rule($_[0], 'C_Decrypt hang') }, off => \&no_rule);
        }
    }
});

chapter('crashes and starts', sub {
    for my $round (1 .. $FEW)
    {
        my $ended = qr/key agent was ended by signal 11/;
        fault('SIGSEGV in C_Decrypt', struck => $ended,
            on => sub { rule($_[0], 'C_Decrypt segv') }, off => \&no_rule);
        for my $function (qw(C_Login C_Initialize))
        {
            fault("SIGSEGV in $function", struck => $ended, off => \&no_rule,
                on => sub { rule($_[0], "$function segv"); kill_agent($_[0]) });
        }
        for my $rule ('C_Initialize 0x5', 'C_Login 0x6', 'C_GetTokenInfo 0xe1', 'C_Login 0x30')
        {
            fault("$rule at the agent's start", off => \&no_rule, struck => qr/^$rule\b/m,
                on => sub { rule($_[0], $rule); kill_agent($_[0]) });
        }
    }
});

sub write_pin
{
    my ($site, $pin) = @_;
    my $file = $site->{hsm}{pin_file};
    append_to_file("$file.new", $pin);
    chmod 0600, "$file.new";
    rename "$file.new", $file or die $!;
    return;
}

chapter('PINs', sub {
    my %pin = map { $_ => slurp_file($_->{hsm}{pin_file}) } @sites;
    for my $round (1 .. $FEW)
    {
        fault('PIN wrong', refused => 1, hold => 3.5, struck => qr/^C_Login 0xa0$/m,
            on => sub { write_pin($_[0], 'not the PIN at all'); kill_agent($_[0]) },
            off => sub { write_pin($_[0], $pin{ $_[0] }) });
        fault('PIN locked', struck => qr/^C_Login 0xa4$/m,
            on => sub { rule($_[0], 'C_Login 0xa4'); kill_agent($_[0]) },
            off => sub { no_rule($_[0]); query_as($_[0]{node}, 'dba', 'SELECT sdes.retry_pin()', 'shop') });
        fault('PIN file gone', struck => qr/unavailable: hsm pin source/i,
            on => sub { my $f = $_[0]{hsm}{pin_file}; rename $f, "$f.away" or die $!; kill_agent($_[0]) },
            off => sub { my $f = $_[0]{hsm}{pin_file}; rename "$f.away", $f or die $!; });
    }
});

# Another token of the same label, and with the same PIN, in the place of ours.
sub make_twin
{
    my ($site) = @_;
    my $hsm = $site->{hsm};
    my $place = $hsm->{dir} . ($hsm->{kind} eq 'nss' ? '/nss' : '/tokens');
    my ($twin, $pin) = ("$place.twin", slurp_file($hsm->{pin_file}));
    mkdir $twin, 0700 or die $!;
    if ($hsm->{kind} eq 'nss')
    {
        system_or_bail('certutil', '-N', '-d', "sql:$twin", '-f', $hsm->{pin_file});
    }
    else
    {
        append_to_file("$twin.conf", "directories.tokendir = $twin\nobjectstore.backend = file\n");
        local $ENV{SOFTHSM2_CONF} = "$twin.conf";
        run_log([ 'softhsm2-util', '--init-token', '--free', '--label', $hsm->{label}, '--pin', $pin, '--so-pin', $pin ])
            or die 'no twin';
    }
    return ($place, $twin);
}

chapter('token and key', sub {
    my %place = map { $_ => [ make_twin($_) ] } @sites;
    for my $round (1 .. $FEW)
    {
        fault('token replaced by its namesake', struck => qr/^C_FindObjectsFinal /m, errors => qr/^(?:ok$|58000 |42704 )/,
            on => sub {
                my ($place, $twin) = @{ $place{ $_[0] } };
                rename $place, "$place.away" or die $!;
                rename $twin, $place or die $!;
                kill_agent($_[0]);
            },
            off => sub {
                my ($place, $twin) = @{ $place{ $_[0] } };
                rename $place, $twin or die $!;
                rename "$place.away", $place or die $!;
            });
        # NSS keeps all keys in one file.
        fault('keys gone from the token', only => 'softhsm', struck => qr/^C_FindObjects /m, errors => qr/^(?:ok$|58000 |42704 )/,
            on => sub {
                my ($token) = glob "$_[0]{hsm}{dir}/tokens/*-*";
                rename $_, "$_.away" or die $! for grep { !/token\.object/ } glob "$token/*.object";
            },
            off => sub {
                my ($token) = glob "$_[0]{hsm}{dir}/tokens/*-*";
                for my $file (glob "$token/*.away") { rename $file, $file =~ s/\.away$//r or die $!; }
                # By this counter SoftHSM2 learns of what others have put there.
                open my $generation, '+<:raw', "$token/generation" or die $!;
                read $generation, my $count, 8;
                seek $generation, 0, 0;
                print $generation pack 'Q>', 1 + unpack 'Q>', $count;
                close $generation or die $!;
            });
    }
});

# ---- longer than a key may be used ----

# A cached key is used on until it is too old, and not a moment more.
my ($TTL, $MAX_AGE) = (1, 4);
for my $site (@sites)
{
    set_conf($site->{node}, 'sdes.key_cache_ttl' => "${TTL}s", 'sdes.key_cache_max_age' => "${MAX_AGE}s");
    $site->{node}->reload;
}
sleep(2 * $TTL + 0.5);
for my $round (1 .. $FEW)
{
    news_of($_->{cached}) for @sites;
    rule($_, 'C_Decrypt 0x5') for @sites;
    my $on = time;
    sleep($MAX_AGE + 2 * $TTL + 1);
    my %off;
    for my $site (@sites) { no_rule($site); $off{$site} = time; }
    my $row = tally('longer than a key may be used');
    for my $site (@sites)
    {
        my $took = recovery($site, $off{$site});
        $row->{slowest} = max($row->{slowest}, $took);
        $row->{times}++;
        my @cached = news_of($site->{cached});
        my $title = "longer than a key may be used, $site->{kind}";
        my @early = grep { $_->[2] ne 'ok' && $_->[1] < $on + $MAX_AGE - $TTL - 0.5 } @cached;
        is($early[0][2] // '', '', "$title: who has a key goes on at first");
        my @late = grep { $_->[2] eq 'ok' && $_->[0] > $on + $MAX_AGE + 0.5 && $_->[0] < $off{$site} - 0.1 } @cached;
        is(scalar @late, 0, "$title: and no longer than it may");
        my @errors = grep { $_->[2] ne 'ok' } @cached;
        cmp_ok(scalar @errors, '>', 0, "$title: then there are errors");
        is((map { $_->[2] } grep { $_->[2] !~ m{^58000 } } @errors)[0] // '', '', "$title: clear ones");
        $row->{errors}{ (split / /, $_->[2])[0] }++ for @errors;
        cmp_ok($took, '<=', $RECOVERY, "$title: all works again within $RECOVERY s");
        ok(wait_for(sub { my @news = news_of($site->{cached}); @news && $news[-1][2] eq "ok" }, 5), "$title: for the old session, too");
        ok(no_crash_quietly($site), "$title: no process of the server crashed");
    }
}

# ---- and in the end ----

for my $site (@sites)
{
    stop_readers($site);
    my ($node, $kind) = @{$site}{qw(node kind)};
    is(postmaster_start($node), $site->{start}, "$kind: the server is the same");
    no_crash_ok($node, 0, "$kind: no process of the server crashed");
    one_agent_ok($node, "$kind: there is one agent");
    works_ok($node, "$kind: a new session writes and reads");
    health_ok($node, "$kind: all is well");
    $node->stop;
}
diag(sprintf '%-36s %5s %8s %6s  %s', 'fault', 'times', 'recovery', 'logins', 'errors of new sessions');
for my $name (@order)
{
    my $row = $table{$name};
    diag(sprintf '%-36s %5d %6.2f s %6d  %s', $name, @{$row}{qw(times slowest logins)},
        join ', ', map { "$_ x$row->{errors}{$_}" } sort keys %{ $row->{errors} });
}
diag(sprintf 'the slowest recovery of %d faults took %.2f s', sum0(map { $_->{times} } values %table),
    max(map { $_->{slowest} } values %table));
done_testing();
