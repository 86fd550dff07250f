# libraries.mk
#	Which libraries for AES and HMAC are here besides OpenSSL: PROVIDERS, with what to
#	compile and link src/provider with. To build without one of them:
#	make WITHOUT='ipsec-mb nettle'

PROVIDERS := openssl

ifeq ($(filter nettle,$(WITHOUT))$(shell pkg-config --exists nettle 2>/dev/null || echo none),)
PROVIDERS += nettle
PROVIDER_CPPFLAGS += -DSDES_WITH_NETTLE
PROVIDER_LIBS += -lnettle
endif

# Debian 12's ipsec-mb has no file for pkg-config.
ifeq ($(filter ipsec-mb,$(WITHOUT))$(shell echo 'int main(void) { return alloc_mb_mgr(0) == 0; }' | \
	$(CC) -include intel-ipsec-mb.h -x c -o /dev/null - -lIPSec_MB 2>/dev/null || echo none),)
PROVIDERS += ipsec-mb
PROVIDER_CPPFLAGS += -DSDES_WITH_IPSEC_MB
PROVIDER_LIBS += -lIPSec_MB
endif
